"""What Ray does to a training of ours becomes a sentence: here it kills its processes for want of memory."""

import numpy as np
import pytest
from ray.exceptions import OutOfMemoryError
from tiny_networks import salts

from crystalloop.models.learn.job import TrainError, TrainJob, TrainResources
from crystalloop.orchestrator.learn import ray_fit


def test_a_training_that_ray_kills_for_want_of_memory_ends_with_a_sentence(tmp_path, monkeypatch):
    def killed(*arguments):
        raise OutOfMemoryError(
            "1 worker(s) were killed due to the node running low on memory.\nTop 10 memory users:\n..."
        )

    monkeypatch.setattr(ray_fit, "wait_for_thread", killed)
    crystals = salts()[:2]
    job = TrainJob(folder=tmp_path / "v1", crystals=crystals, labels=np.full((2, 8), np.nan), data_digest="d")
    with pytest.raises(TrainError, match=r"was ended by Ray: 1 worker.*low on memory.; free memory") as found:
        ray_fit.fit_networks(job, TrainResources())
    assert "Top 10" not in str(found.value)
