"""JaxEngine keeps the promises of an engine: in a child process, because Keras has one backend in each."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from contracts.engine import EngineContract
from tiny_networks import SAVES_WEIGHTS

pytestmark = SAVES_WEIGHTS
HERE = os.environ.get("KERAS_BACKEND") == "jax"


@pytest.mark.skipif(not HERE, reason="Keras runs on TensorFlow in this process; the child below runs these")
class TestJaxEngine(EngineContract):
    @pytest.fixture
    def engine(self, lines):
        from crystalloop.models.learn.engine_jax import JaxEngine  # imports jax

        return JaxEngine(report=lines.append)

    def test_it_is_no_worker_among_several(self):
        from crystalloop.models.learn.engine import BackendError
        from crystalloop.models.learn.engine_jax import JaxEngine

        with pytest.raises(BackendError, match="one process, 2 workers were asked for"):
            JaxEngine(0, 2)


@pytest.mark.slow
@pytest.mark.skipif(HERE, reason="the tests of this file run on jax already")
@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed; pip install -e '.[jax]'")
def test_the_jax_engine_passes_in_a_process_of_its_own():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "TestJaxEngine", __file__]
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    done = subprocess.run(
        command,
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "failed" not in done.stdout
