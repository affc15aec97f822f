"""GeneratorActor and ScreenActor: Ray actors that hold weights and work in batches. What is asked of them is proposer's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import ray

from orchestrator.runtime import quiet_keras

if TYPE_CHECKING:
    from models.crystal import Crystal
    from models.generate import Batch, Request

T = TypeVar("T")
RESTARTS = 3
"""Ray starts a dead actor anew, which loads its weights again, and repeats the call; more deaths have a cause to mend."""


class ActorsKeepDying(Exception):
    """An actor died more often than RESTARTS in one call."""


class Generator:
    """Decodes latents into crystals. Holds the VAE and the UNet of one model version."""

    def __init__(self, folder: str, n: int) -> None:
        quiet_keras()
        from models.checkpoint import load
        from models.unet import UNet
        from models.vae import DensityVAE

        self._vae = load(Path(folder) / "vae", DensityVAE, n=n)
        self._unet = load(Path(folder) / "unet", UNet, n=n)

    def generate(self, request: Request) -> Batch:
        """The crystals of one request, and its failures counted by reason."""
        from models.generate import generate

        return generate(self._vae, self._unet, request)


class Screener:
    """Predicts properties. Holds the CGCNN of one model version."""

    def __init__(self, folder: str) -> None:
        quiet_keras()
        from models.cgcnn import CGCNN
        from models.checkpoint import load

        self._cgcnn = load(Path(folder) / "cgcnn", CGCNN)

    def predict(self, crystals: Sequence[Crystal]) -> tuple[list[dict[str, float | None]], list[float]]:
        """Property -> value for each crystal (None where there is none), and sigma of the formation energy in eV/atom."""
        import numpy as np

        from models.cgcnn import predict_properties

        values, sigma = predict_properties(self._cgcnn, crystals)
        rows = [
            {name: (float(column[i]) if np.isfinite(column[i]) else None) for name, column in values.items()}
            for i in range(len(crystals))
        ]
        return rows, [float(s) if np.isfinite(s) else 0.0 for s in sigma]


class ActorGroup:
    """Some actors of one kind, each with the same weights, sharing batches of calls."""

    def __init__(self, kind: Callable[..., Any], arguments: tuple[object, ...], count: int, **resources: float) -> None:
        remote = ray.remote(kind).options(max_restarts=RESTARTS, max_task_retries=RESTARTS, **resources)
        self._actors = [remote.remote(*arguments) for _ in range(count)]

    def map(self, method: str, batches: Sequence[object]) -> list[Any]:
        """Call the method once for each batch, spread over the actors; results in the order of the batches.

        Raises:
            ActorsKeepDying: an actor could not be kept alive.
        """
        calls = [getattr(self._actors[i % len(self._actors)], method).remote(batch) for i, batch in enumerate(batches)]
        try:
            return list(ray.get(calls))
        except ray.exceptions.ActorDiedError as error:
            raise ActorsKeepDying(
                f"a {method} actor died {RESTARTS + 1} times ({error}); likely out of memory: lower generate.per_round "
                "or the number of actors, then repeat the same command"
            ) from error

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            ray.kill(actor)


class ModelActors:
    """The actors of one model version."""

    def __init__(self, folder: Path, n: int, generators: int, screeners: int, gpus: float = 0.0) -> None:
        path = str(folder.resolve())
        share: Mapping[str, float] = {"num_cpus": 0.5}
        self.generators = ActorGroup(Generator, (path, n), generators, **share, num_gpus=gpus)
        self.screeners = ActorGroup(Screener, (path,), screeners, **share)

    def close(self) -> None:
        """End all of them."""
        self.generators.close()
        self.screeners.close()
