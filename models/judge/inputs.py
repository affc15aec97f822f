"""What is evaluated: settings, checkpoints, the held-out part and the base compounds. Nothing is measured here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.data.corpus import BadRows, Corpus
from crystalloop.models.draw.proposal import Base
from crystalloop.models.nets.cgcnn import CGCNN
from crystalloop.models.nets.checkpoint import load
from crystalloop.models.nets.unet import UNet
from crystalloop.models.nets.vae import DensityVAE

MOST_BASES = 12
"""Base compounds of the funnel, as in the paper's Table 2."""


@contextmanager
def any_element() -> Iterator[None]:
    """A scope in which a network may name noble gases, for which pymatgen has no electronegativity to sort a formula by."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No Pauling electronegativity", UserWarning)
        yield


class EvaluateError(Exception):
    """An evaluation that cannot be made as asked; the message says what, where and the next move."""

    exit_kind = "usage"


@dataclass(frozen=True)
class Settings:
    """What is evaluated.

    Attributes:
        folder: holds the checkpoints vae, unet, cgcnn, or some of them.
        data: files of crystals for VAE and UNet; their training part is what is known.
        properties: files for the CGCNN; those of `data` where none are given.
        split: part that is judged.
        limit: most crystals of the part, prior samples, and draws round each base.
        seed: which crystals a limit keeps, which bases, and all draws.
        bad_rows: "stop" at an unusable row or label of a file, or "skip" it.
        units: label -> its unit in all files, where that is not the label's own.
    """

    folder: Path
    data: tuple[Path, ...]
    properties: tuple[Path, ...] = ()
    split: str = "test"
    limit: int | None = None
    seed: int = 0
    bad_rows: BadRows = "stop"
    units: Mapping[str, str] = field(default_factory=dict)

    def most(self, count: int) -> int:
        """The count, unless the limit is lower."""
        return count if self.limit is None else min(self.limit, count)


@dataclass(frozen=True)
class LoadedNetworks:
    """The networks that the folder holds."""

    vae: DensityVAE | None = None
    unet: UNet | None = None
    cgcnn: CGCNN | None = None


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The crystals that are judged, and what the networks may know: the training part."""

    part: Corpus
    train: Corpus
    notes: tuple[str, ...] = ()


def load_networks(folder: Path) -> tuple[LoadedNetworks, tuple[str, ...]]:
    """The checkpoints of a folder, and a sentence for each that is absent.

    Raises:
        EvaluateError: none of the three is there.
        CheckpointError: one is damaged, or UNet and VAE have different grids.
    """
    here = {name for name in ("vae", "unet", "cgcnn") if (folder / name).is_dir()}
    if not here:
        raise EvaluateError(f"{folder} holds none of vae, unet, cgcnn; give the folder that `crystalloop train` wrote")
    vae = load(folder / "vae", DensityVAE) if "vae" in here else None
    unet = load(folder / "unet", UNet, n=None if vae is None else vae.config.n) if "unet" in here else None
    cgcnn = load(folder / "cgcnn", CGCNN) if "cgcnn" in here else None
    return LoadedNetworks(vae, unet, cgcnn), _absent(here)


def _absent(here: set[str]) -> tuple[str, ...]:
    lost = {
        "vae": "no VAE: rows of decoded maps and of new crystals are left out",
        "unet": "no UNet: rows of maps, of reconstruction and of new crystals are left out",
        "cgcnn": "no CGCNN: rows of properties, of predicted energies and of deciles are left out",
    }
    return tuple(sentence for name, sentence in lost.items() if name not in here)


def held_out(corpus: Corpus, networks: LoadedNetworks, settings: Settings) -> HeldOut:
    """The part that is judged, as the networks take it, and the training part.

    Raises:
        EvaluateError: nothing is left to judge.
    """
    part, notes = corpus.part(settings.split), tuple[str, ...]()
    if not len(part):
        raise EvaluateError(
            f"no crystal of {_names(settings.data)} is in the {settings.split} part ({corpus.counts()}); "
            "name other files or another --split"
        )
    if networks.vae is not None and networks.vae.config.cubic:
        part, refused = part.cubic()
        notes += refused
        if not len(part):
            raise EvaluateError(
                f"{settings.folder} was trained on cubic cells alone, and none of the {settings.split} part is: {refused[0]}; "
                "give conventional cubic cells, or networks trained on others"
            )
    return HeldOut(some_of(part, settings), corpus.part("train"), notes)


def some_of(part: Corpus, settings: Settings) -> Corpus:
    """At most `limit` crystals, chosen by the seed, in the files' order."""
    chosen = np.random.default_rng([settings.seed, 1]).permutation(len(part))[: settings.most(len(part))]
    return part.take(np.sort(chosen))


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths)


def in_turn(part: Corpus, rows: NDArray[np.intp], count: int, seed: int) -> list[int]:
    """Some of the rows, going through the files' groups in turn, random within each."""
    order = np.random.default_rng([seed, 2]).permutation(rows)
    seen: dict[str, int] = {}
    keys = []
    for row in order:
        group = part.groups[row]
        keys.append((seen.setdefault(group, 0), group))
        seen[group] += 1
    return [int(order[i]) for i in sorted(range(len(order)), key=lambda i: keys[i])[:count]]


def bases_of(part: Corpus, seed: int) -> list[Base]:
    """Held-out compounds with a negative formation energy to draw around, every group in turn."""
    e_f = part.labels[:, PROPERTIES.index(E_F)]
    rows = in_turn(part, np.flatnonzero(e_f < 0), MOST_BASES, seed)
    return [Base(f"{part.formulas[i]}:{part.ids[i]}", part.crystals[i], float(e_f[i])) for i in rows]
