"""Ray actors that hold a generator or a CGCNN and work in batches: GeneratorActor, ScreenActor. What is asked is proposer's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import ray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.draw.proposal import Proposals
from crystalloop.models.generate.base import DrawRequest, Generator, Rows
from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.cluster.demand import ACTOR_CPUS, Demand
from crystalloop.orchestrator.cluster.session import START_TIMEOUT_S, start_ray, stop_ray
from crystalloop.orchestrator.cluster.waiting import RayDeadline, Tell, wait_for

RESTARTS = 3
"""Ray starts a dead actor anew, which loads its weights again, and repeats the call; more deaths have a cause to mend."""
KERAS = "crystalloop.models.nets.keras_import"
"""Imported by name where it is needed: it takes seconds, and pw.x shall be at work before."""
OpenGenerator = Callable[[Path, VoxelConfig], Generator]
"""The generator of a model version's folder, on a grid; it is called in the actor's process."""


class ActorsKeepDying(Exception):
    """An actor died more often than RESTARTS in one call."""

    exit_kind = "failed"


class ActorsNotStarted(Exception):
    """Actors for which there was no place, or no time, for minutes."""

    exit_kind = "environment"


def vae_generator(folder: Path, voxels: VoxelConfig) -> Generator:
    """The paper's generator."""
    from crystalloop.models.generate.density_vae import VAEGenerator  # imports Keras; see KERAS

    return VAEGenerator.load(folder, voxels)


class GeneratorActor:
    """Generates with the networks of the model version that it was last asked for.

    Every call names the version's folder, so an actor that Ray started anew after a death loads what it lacks.
    """

    def __init__(self, voxels: VoxelConfig, open_generator: OpenGenerator = vae_generator) -> None:
        import_module(KERAS)
        self._voxels, self._open = voxels, open_generator
        self._folder = ""

    def generate(self, folder: str, request: DrawRequest) -> Proposals:
        """What came of each draw of one request."""
        if folder != self._folder:
            self._generator, self._folder = self._open(Path(folder), self._voxels), folder
        return self._generator.generate(request)


class ScreenActor:
    """Predicts properties. Holds the CGCNN of the model version it was last asked for."""

    def __init__(self) -> None:
        import_module(KERAS)
        self._folder = ""

    def predict(self, folder: str, crystals: Sequence[Crystal]) -> Rows:
        """Property -> value of each crystal, and property -> sigma in its unit; None where unknown."""
        from crystalloop.models.generate import predictions  # imports Keras; see KERAS

        if folder != self._folder:
            self._cgcnn, self._folder = predictions.load_cgcnn(Path(folder)), folder
        return predictions.predict_rows(self._cgcnn, crystals)


class ActorGroup:
    """Some actors of one kind, sharing batches of calls.

    Args:
        kind: their class.
        arguments: of its constructor.
        count: of actors.
        name: what they are called in sentences, in the plural.
        tell: hears what is waited for where it takes long.
        resources: options of a Ray actor.
    """

    def __init__(
        self,
        kind: Callable[..., Any],
        arguments: tuple[object, ...],
        count: int,
        name: str,
        tell: Tell | None = None,
        **resources: float,
    ) -> None:
        remote = ray.remote(kind).options(max_restarts=RESTARTS, max_task_retries=RESTARTS, **resources)
        self._actors = [remote.remote(*arguments) for _ in range(count)]
        self._name, self._tell, self._ready = name, tell, False

    def map(self, method: str, folder: Path, batches: Sequence[object], deadline: float | None = None) -> list[Any]:
        """Call the method with a model folder once for each batch, spread over the actors; results in this order.

        Args:
            method: of the actors' class.
            folder: of the model version, on a path that every node has.
            batches: one argument each.
            deadline: on `time.monotonic`; None for no limit.

        Raises:
            ActorsKeepDying: an actor could not be kept alive.
            ActorsNotStarted: they did not start in START_TIMEOUT_S.
            RayDeadline: the deadline came first.
        """
        path, count = str(folder.resolve()), len(self._actors)
        what = f"{len(batches)} calls of {count} {self._name}"
        try:
            self._wait_until_ready(deadline)
            calls = [getattr(self._actors[i % count], method).remote(path, batch) for i, batch in enumerate(batches)]
            return wait_for(calls, what, deadline, self._tell)
        except ray.exceptions.ActorDiedError as error:
            raise ActorsKeepDying(
                f"an actor died {RESTARTS + 1} times in {method} ({error}); likely out of memory: lower "
                "generate.per_round or the number of actors, then repeat the same command"
            ) from error

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            ray.kill(actor)

    def _wait_until_ready(self, deadline: float | None) -> None:
        """Return once every actor has its place and its Keras."""
        if self._ready:
            return
        latest = time.monotonic() + START_TIMEOUT_S
        starts, what = [actor.__ray_ready__.remote() for actor in self._actors], f"{self._name} to start"
        try:
            wait_for(starts, what, min(latest, deadline or latest), self._tell)
        except RayDeadline as error:
            if deadline is not None and deadline <= latest:
                raise
            raise ActorsNotStarted(
                f"{len(starts)} {self._name} did not start in {START_TIMEOUT_S:.0f} s: the cluster is full, or its nodes "
                "are too busy; `ray status` says which. Repeat the same command when it is not"
            ) from error
        self._ready = True


class ModelActors:
    """The generators and screeners of a campaign."""

    def __init__(
        self,
        voxels: VoxelConfig,
        open_generator: OpenGenerator,
        generators: int,
        screeners: int,
        gpus: float = 0.0,
        tell: Tell | None = None,
    ) -> None:
        kinds: dict[str, tuple[Callable[..., Any], tuple[object, ...], int, dict[str, float]]] = {
            "generators": (GeneratorActor, (voxels, open_generator), generators, {"num_gpus": gpus}),
            "screeners": (ScreenActor, (), screeners, {}),
        }
        self.generators, self.screeners = (
            ActorGroup(kind, given, count, name, tell, num_cpus=ACTOR_CPUS, **more)
            for name, (kind, given, count, more) in kinds.items()
        )

    def close(self) -> None:
        """End all of them."""
        self.generators.close()
        self.screeners.close()


class RayRuntime:
    """One Ray session of a campaign, with its generators and screeners.

    Args:
        campaign: its section `ray`.
        open_generator: makes the generator of a model version in the actors.
        tell: hears what is waited for where it takes long.
    """

    def __init__(
        self, campaign: Campaign, open_generator: OpenGenerator = vae_generator, tell: Tell | None = None
    ) -> None:
        self._campaign, self._open, self._tell = campaign, open_generator, tell
        self._actors: ModelActors | None = None

    def check(self) -> None:
        """Whether the campaign's cluster takes us and has room, before pw.x computes anything; leaves no session.

        Raises:
            ClusterUnreachable, ClusterTooSmall: within seconds.
        """
        if self._campaign.ray.address:
            self._connect()
            stop_ray()

    def start(self) -> None:
        """Everything that takes seconds to start: Keras here, Ray, the actors with Keras in them. Does nothing twice."""
        import_module(KERAS)
        self._connect()
        self.actors()

    def actors(self) -> ModelActors:
        """The campaign's actors."""
        if self._actors is None:
            resources = self._campaign.ray
            self._actors = ModelActors(
                VoxelConfig(n=self._campaign.voxels.n, width_scale=self._campaign.voxels.width_scale),
                self._open,
                resources.generator_actors,
                resources.screen_actors,
                resources.gpus_per_generator,
                self._tell,
            )
        return self._actors

    def before_training(self) -> float:
        """Start Ray where it is not running; where generators hold GPUs, take those back for the trainer.

        Returns:
            Logical CPUs that each training worker may have.
        """
        if self._campaign.ray.gpus_per_generator and self._actors is not None:
            self._actors.close()
            self._actors = None
        import_module(KERAS)
        return self._connect()

    def shutdown(self) -> None:
        """End our actors and our session; a cluster of the user's goes on."""
        if self._actors is not None:
            self._actors.close()
            self._actors = None
        stop_ray()

    def _connect(self) -> float:
        """The campaign's cluster, or a Ray of its own with room for all that it asks; CPUs of a training worker."""
        resources = self._campaign.ray
        demand = Demand(
            resources.train_workers,
            resources.cpus_per_train_worker,
            resources.use_gpu,
            resources.generator_actors,
            resources.screen_actors,
            resources.gpus_per_generator,
        )
        return start_ray(resources.address, demand)
