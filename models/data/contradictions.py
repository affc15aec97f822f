"""Crystals of data files that stand there twice with different formation energies. What a label means: energy_schemes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.files import KnownCrystal

APART_EV, VOLUME_SHARE, MOST_COMPARED = 0.1, 0.03, 2_000
"""Labels this far apart (eV/atom) contradict each other; cells whose volumes differ by more are no copies; pairs looked at."""


def contradicting_labels(crystals: Sequence[KnownCrystal]) -> str | None:
    """A sentence on crystals with two formation energies, naming the first pair; None where there are none."""
    pairs = []
    for compared, (one, other) in enumerate(_suspects(crystals)):
        if compared == MOST_COMPARED:
            break
        if KnownCrystals([one.structure]).knows(other.structure):
            pairs.append((one, other))
    if not pairs:
        return None
    one, other = pairs[0]
    return (
        f"{len(pairs):,} pairs of equal crystals have formation energies more than {APART_EV:g} eV/atom apart, the first: "
        f"{one.where} with {one.labels[E_F]:.3f} and {other.where} with {other.labels[E_F]:.3f}; both are learnt from, "
        "remove the wrong ones"
    )


def _suspects(crystals: Sequence[KnownCrystal]) -> Iterator[tuple[KnownCrystal, KnownCrystal]]:
    """Pairs of one formula and nearly one volume whose labels are apart."""
    by_formula: dict[str, list[tuple[float, KnownCrystal]]] = defaultdict(list)
    for crystal in crystals:
        if E_F in crystal.labels:
            volume = crystal.structure.volume / len(crystal.structure)
            by_formula[str(crystal.structure.composition.reduced_formula)].append((volume, crystal))
    for same in by_formula.values():
        for (volume, one), (other_volume, other) in combinations(same, 2):
            is_near = abs(volume - other_volume) <= VOLUME_SHARE * max(volume, other_volume)
            if is_near and abs(one.labels[E_F] - other.labels[E_F]) > APART_EV:
                yield one, other
