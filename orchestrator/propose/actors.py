"""GeneratorActor and ScreenActor: Ray actors that hold weights and work in batches. What is asked of them is proposer's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import ray

from crystalloop.models.maps.voxels import VoxelConfig
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.cluster.session import start_ray, stop_ray

if TYPE_CHECKING:
    from crystalloop.models.crystals.crystal import Crystal
    from crystalloop.models.draw.lookahead import Critic
    from crystalloop.models.draw.proposal import Base, Draws, Proposals
    from crystalloop.models.maps.voxels import VoxelConfig
    from crystalloop.models.nets.vae import DensityVAE


T = TypeVar("T")
RESTARTS = 3
"""Ray starts a dead actor anew, which loads its weights again, and repeats the call; more deaths have a cause to mend."""


class ActorsKeepDying(Exception):
    """An actor died more often than RESTARTS in one call."""

    exit_kind = "failed"


@dataclass(frozen=True)
class Request:
    """A batch of latents to draw and decode.

    Attributes:
        kind: "random", "around" or "between".
        count: how many latents.
        seed: of this batch alone.
        bases: compounds to draw around or between; not used for random ones.
        wanted: property, lowest and highest value that every draw shall have.
        wanted_e_f_ev: random latents are conditioned on its decile, eV/atom; on all deciles in turn where None.
        scale: standard deviation round a base's latent mean.
        allowed: atomic numbers that may occur.
    """

    kind: str
    count: int
    seed: int
    bases: tuple[Base, ...]
    wanted_e_f_ev: float | None
    scale: float
    allowed: tuple[int, ...]
    wanted: tuple[tuple[str, float, float], ...] = ()


class Generator:
    """Decodes latents into crystals. Holds the VAE and the UNet of the model version it was last asked for.

    Every call names the version's folder, so an actor that Ray started anew after a death loads what it lacks.
    """

    def __init__(self, voxels: VoxelConfig) -> None:
        import_module(KERAS)
        self._voxels = voxels
        self._folder = ""

    def generate(self, folder: str, request: Request) -> Proposals:
        """The crystals of one request, and its failures counted by reason."""
        from crystalloop.models.generate.density_vae import GenerateConfig, propose

        self._load(folder)
        draws = _draw(self._vae, request, replace(self._critic, allowed=request.allowed))
        return propose(self._vae, self._unet, draws, GenerateConfig(voxels=self._voxels), request.allowed)

    def _load(self, folder: str) -> None:
        from crystalloop.models.draw.lookahead import Critic
        from crystalloop.models.nets.cgcnn import CGCNN, predicted_by
        from crystalloop.models.nets.checkpoint import load
        from crystalloop.models.nets.unet import UNet
        from crystalloop.models.nets.vae import DensityVAE

        if folder != self._folder:
            self._vae = load(Path(folder) / "vae", DensityVAE, n=self._voxels.n)
            self._unet = load(Path(folder) / "unet", UNet, n=self._voxels.n)
            self._critic = Critic(self._voxels, predicted_by(load(Path(folder) / "cgcnn", CGCNN)))
            self._folder = folder


def _draw(vae: DensityVAE, request: Request, critic: Critic) -> Draws:
    """The latents of a request; the same seed gives the same ones."""
    import numpy as np

    from crystalloop.models.draw.latents import draw_around, draw_between, draw_random
    from crystalloop.models.draw.target import Range

    rng, voxels = np.random.default_rng(request.seed), critic.voxels
    wanted = [Range(*one) for one in request.wanted]
    if request.kind == "around":
        return draw_around(vae, rng, request.count, request.bases, voxels, request.scale, wanted, critic)
    if request.kind == "between":
        return draw_between(vae, rng, request.count, request.bases, voxels, request.scale / 2, wanted, critic)
    deciles = None
    if request.wanted_e_f_ev is not None and vae.config.decile_edges_ev:
        deciles = [int(vae.condition(np.array([request.wanted_e_f_ev]))[0].argmax())]
    return draw_random(vae, rng, request.count, deciles, wanted, critic)


class Screener:
    """Predicts properties. Holds the CGCNN of the model version it was last asked for."""

    def __init__(self) -> None:
        import_module(KERAS)
        self._folder = ""

    def predict(self, folder: str, crystals: Sequence[Crystal]) -> tuple[list[dict[str, float | None]], list[float]]:
        """Property -> value for each crystal (None where there is none), and sigma of the formation energy in eV/atom."""
        import numpy as np

        from crystalloop.models.nets.cgcnn import CGCNN, predict_properties
        from crystalloop.models.nets.checkpoint import load

        if folder != self._folder:
            self._cgcnn, self._folder = load(Path(folder) / "cgcnn", CGCNN), folder
        values, sigma = predict_properties(self._cgcnn, crystals)
        rows = [
            {name: (float(column[i]) if np.isfinite(column[i]) else None) for name, column in values.items()}
            for i in range(len(crystals))
        ]
        return rows, [float(s) if np.isfinite(s) else 0.0 for s in sigma]


class ActorGroup:
    """Some actors of one kind, sharing batches of calls."""

    def __init__(self, kind: Callable[..., Any], arguments: tuple[object, ...], count: int, **resources: float) -> None:
        remote = ray.remote(kind).options(max_restarts=RESTARTS, max_task_retries=RESTARTS, **resources)
        self._actors = [remote.remote(*arguments) for _ in range(count)]

    def map(self, method: str, folder: Path, batches: Sequence[object]) -> list[Any]:
        """Call the method with a model folder once for each batch, spread over the actors; results in this order.

        Raises:
            ActorsKeepDying: an actor could not be kept alive.
        """
        path, count = str(folder.resolve()), len(self._actors)
        calls = [getattr(self._actors[i % count], method).remote(path, batch) for i, batch in enumerate(batches)]
        try:
            return list(ray.get(calls))
        except ray.exceptions.ActorDiedError as error:
            raise ActorsKeepDying(
                f"an actor died {RESTARTS + 1} times in {method} ({error}); likely out of memory: lower "
                "generate.per_round or the number of actors, then repeat the same command"
            ) from error

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            ray.kill(actor)


class ModelActors:
    """The generators and screeners of a campaign."""

    def __init__(self, voxels: VoxelConfig, generators: int, screeners: int, gpus: float = 0.0) -> None:
        share: Mapping[str, float] = {"num_cpus": 0.25}
        self.generators = ActorGroup(Generator, (voxels,), generators, **share, num_gpus=gpus)
        self.screeners = ActorGroup(Screener, (), screeners, **share)

    def close(self) -> None:
        """End all of them."""
        self.generators.close()
        self.screeners.close()


KERAS = "crystalloop.models.nets.keras_import"
"""Imported by name where it is needed: it takes seconds, and pw.x shall be at work before."""


class RayRuntime:
    """One Ray session of a campaign, with its generators and screeners."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._actors: ModelActors | None = None

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
        import_module(KERAS)
        self._connect()

    def shutdown(self) -> None:
        """End our actors and our session; a cluster of the user's goes on."""
        if self._actors is not None:
            self._actors.close()
            self._actors = None
        stop_ray()

    def _connect(self) -> None:
        """The campaign's cluster, or a Ray of its own: the trainer's logical CPUs, and a share for each actor."""
        resources = self._campaign.ray
        actors = resources.generator_actors + resources.screen_actors
        start_ray(resources.address, resources.train_workers * resources.cpus_per_train_worker + actors / 4 + 1)
