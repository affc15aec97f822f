"""TensorFlowEngine keeps the promises of an engine."""

from __future__ import annotations

import pytest
from contracts.engine import EngineContract
from tiny_networks import SAVES_WEIGHTS

from crystalloop.models.learn.engine import BackendError, use_backend
from crystalloop.models.learn.engine_tensorflow import TensorFlowEngine

pytestmark = SAVES_WEIGHTS


class TestTensorFlowEngine(EngineContract):
    @pytest.fixture
    def engine(self, lines):
        return TensorFlowEngine(report=lines.append)


def test_a_backend_that_is_unknown_missing_or_another_than_keras_runs_on_is_refused(monkeypatch):
    with pytest.raises(BackendError, match="unknown backend 'torch'; choose tensorflow or jax"):
        use_backend("torch")
    monkeypatch.setattr("crystalloop.models.learn.engine.find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r"jax is not installed here; `pip install -e '.\[jax\]'` in the checkout"):
        use_backend("jax")
    monkeypatch.setattr("crystalloop.models.learn.engine.find_spec", lambda name: name)
    with pytest.raises(BackendError, match="Keras runs on tensorflow in this process already"):
        use_backend("jax")
