"""Lines through the latent between two held-out crystals: what is decoded and read on the way. Pictures of them live elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from crystalloop.models.crystals.formulas import reduced_counts
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.draw.proposal import Draws, Kind, Proposal
from crystalloop.models.judge.reconstruction import Judged
from crystalloop.models.judge.round_trip import config_for, made_from
from crystalloop.models.maps.channels import Floats
from crystalloop.models.nets.unet import UNet
from crystalloop.models.nets.vae import DensityVAE

STEPS, STRIPS, LOOKED_AT = 7, 3, 150


@dataclass(frozen=True, eq=False)
class Strip:
    """One line.

    Attributes:
        start, end: formulas of the two crystals.
        slices: compressed density in the plane half way along c, [STEPS, n, n].
        formulas: as read at each step, "" where nothing was.
        a_ang: edge of the cell that was read, NaN where nothing was.
    """

    start: str
    end: str
    slices: Floats
    formulas: tuple[str, ...]
    a_ang: tuple[float, ...]


def make_strips(vae: DensityVAE, unet: UNet, held: Corpus, judged: Sequence[Judged]) -> list[Strip]:
    """A strip for each of the largest groups, between two crystals that differ in one element."""
    return [_strip(vae, unet, held, judged, i, j) for i, j in pairs(held, judged)]


def pairs(held: Corpus, judged: Sequence[Judged]) -> Iterator[tuple[int, int]]:
    """The ends: in each group the two read crystals that differ in one element, by the most in atomic number."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(held.groups):
        if judged[row].failure is None:
            groups[group].append(row)
    for _, rows in sorted(groups.items(), key=lambda item: -len(item[1]))[:STRIPS]:
        near = [pair for pair in combinations(rows[:LOOKED_AT], 2) if _differ(held, *pair) is not None]
        if near:
            yield max(near, key=lambda pair: (_differ(held, *pair) or 0, pair))


def _differ(held: Corpus, i: int, j: int) -> int | None:
    """Difference in atomic number of the one element in which two crystals differ; None where more differ."""
    one, other = held.crystals[i], held.crystals[j]
    if len(one) != len(other):
        return None
    first, second = set(reduced_counts(one)), set(reduced_counts(other))
    mine, theirs = first - second, second - first
    if len(mine) != 1 or len(theirs) != 1:
        return None
    (z, count), (z_other, count_other) = *mine, *theirs
    return abs(z - z_other) if count == count_other else None


def _strip(vae: DensityVAE, unet: UNet, held: Corpus, judged: Sequence[Judged], i: int, j: int) -> Strip:
    along = np.linspace(0.0, 1.0, STEPS, dtype=np.float32)[:, None]
    latent = (1 - along) * judged[i].latent + along * judged[j].latent
    conditions = vae.condition(held.labels[[i, j], PROPERTIES.index(E_F)])
    condition = conditions[(along[:, 0] > 0.5).astype(int)]  # that of the nearer end
    maps = vae.decode(latent, condition).maps
    draws = Draws(latent, condition, ((),) * STEPS, Kind.BETWEEN)
    made = list(made_from(vae, unet, draws, config_for(vae)))
    return Strip(
        held.formulas[i],
        held.formulas[j],
        maps[:, :, :, maps.shape[3] // 2, 0],
        tuple(_formula(proposal) for proposal in made),
        tuple(_edge(proposal) for proposal in made),
    )


def _formula(proposal: Proposal | None) -> str:
    return "" if proposal is None else proposal.raw.formula


def _edge(proposal: Proposal | None) -> float:
    return float("nan") if proposal is None else float(proposal.raw.lengths_ang[0])
