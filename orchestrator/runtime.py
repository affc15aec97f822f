"""Ray on this machine or on a cluster, and Keras in this process: started when first needed, ended at the end."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import ray

from orchestrator.config import Campaign
from orchestrator.parts import Tell

log = logging.getLogger(__name__)


def quiet_keras() -> None:
    """Import Keras without TensorFlow's greetings on stderr, which no setting of its own silences."""
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import_module("keras")
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class RayRuntime:
    """One Ray session of a campaign."""

    def __init__(self, campaign: Campaign, tell: Tell) -> None:
        self._resources = campaign.ray
        self._tell = tell
        self._ours = False

    def start(self) -> None:
        """Connect to the campaign's cluster, or start Ray on this machine; does nothing when it runs already."""
        if ray.is_initialized():
            return
        self._tell("preparing", what="starting Ray")
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "300")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {"address": self._resources.address or "local"}
        if not self._resources.address:
            # Logical CPUs: the trainer's, and a share for each actor, whatever the number of cores here.
            wanted = self._resources.train_workers * self._resources.cpus_per_train_worker + 1
            options |= {"num_cpus": max(os.cpu_count() or 1, int(wanted))}
        quiet_keras()
        ray.init(**options, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        self._ours = True

    def shutdown(self) -> None:
        """End our session; a cluster of the user's goes on."""
        if self._ours:
            ray.shutdown()
            self._ours = False
