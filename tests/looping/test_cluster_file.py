"""cluster.yaml stays pure Ray."""

from pathlib import Path

import pytest
import yaml

CLUSTER = Path(__file__).parents[2] / "cluster.yaml"


def test_rays_own_validator_accepts_the_cluster_file_and_no_key_of_ours(tmp_path, monkeypatch):
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))  # the local provider keeps a state file there
    config = yaml.safe_load(CLUSTER.read_text())
    validate_config(prepare_config(config))
    with pytest.raises(ValidationError, match="campaign"):
        validate_config(prepare_config(config | {"campaign": "first"}))


def test_the_cluster_asks_for_a_token_and_keeps_the_dashboard_on_loopback():
    config = yaml.safe_load(CLUSTER.read_text())
    starts = [line for key in ("head_start_ray_commands", "worker_start_ray_commands") for line in config[key]]
    starts = [line for line in starts if "ray start" in line]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in line for line in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
