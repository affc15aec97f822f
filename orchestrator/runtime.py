"""Ray and the actors of a campaign, on this machine or on a cluster: started when first needed, ended at the end."""

from __future__ import annotations

import logging
import os
import signal
from typing import Any

import ray

from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.models.nets.keras_import import quiet_keras
from crystalloop.orchestrator.actors import ModelActors
from crystalloop.orchestrator.config import Campaign
from crystalloop.orchestrator.parts import Tell

log = logging.getLogger(__name__)


class RayRuntime:
    """One Ray session of a campaign, with its generators and screeners."""

    def __init__(self, campaign: Campaign, tell: Tell) -> None:
        self._campaign, self._tell = campaign, tell
        self._actors: ModelActors | None = None

    def start(self) -> None:
        """Everything that takes seconds to start: Keras here, Ray, the actors with Keras in them. Does nothing twice."""
        quiet_keras()
        if not ray.is_initialized():
            self._connect()
        self.actors()

    def actors(self) -> ModelActors:
        """The campaign's actors."""
        if self._actors is None:
            resources = self._campaign.ray
            self._actors = ModelActors(
                VoxelConfig(n=self._campaign.voxels.n, width_scale=self._campaign.voxels.width_scale),
                resources.generator_actors,
                resources.screen_actors,
                resources.gpus_per_generator,
            )
        return self._actors

    def before_training(self) -> None:
        """Start Ray where it is not running; where generators hold GPUs, take those back for the trainer."""
        if self._campaign.ray.gpus_per_generator and self._actors is not None:
            self._actors.close()
            self._actors = None
        quiet_keras()
        if not ray.is_initialized():
            self._connect()

    def shutdown(self) -> None:
        """End our actors and our session; a cluster of the user's goes on."""
        if self._actors is not None:
            self._actors.close()
            self._actors = None
        if ray.is_initialized():
            ray.shutdown()

    def _connect(self) -> None:
        """Connect to the campaign's cluster, or start Ray on this machine."""
        resources = self._campaign.ray
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "300")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {"address": resources.address or "local"}
        if not resources.address:
            # Logical CPUs: the trainer's, and a share for each actor, whatever the number of cores here.
            actors = resources.generator_actors + resources.screen_actors
            wanted = resources.train_workers * resources.cpus_per_train_worker + actors / 4 + 1
            options["num_cpus"] = max(os.cpu_count() or 1, int(wanted))
        handler = signal.getsignal(signal.SIGTERM)
        ray.init(**options, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        signal.signal(signal.SIGTERM, handler)  # Ray puts one of its own there, which aborts this process
