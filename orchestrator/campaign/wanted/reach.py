"""What of a target no crystal of the campaign can meet, before anything runs: each with what would fit. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, comb, perm

from crystalloop.models.crystals.compounds import parse_compound
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.prototypes import Prototype, decorations, multiplicities, roles
from crystalloop.models.draw.target import ABOVE_HULL, Target
from crystalloop.models.draw.vicinity import Vicinity, amounts, distance, nearest_possible

MOST_TRIED = 5_000
"""Decorations that are tried one by one; of more, only what no composition at all can reach is said."""


@dataclass(frozen=True)
class Ground:
    """What crystals a campaign can make.

    Attributes:
        has_data: whether data files may bring formulas that the prototypes do not have.
    """

    elements: tuple[str, ...]
    prototypes: tuple[Prototype, ...]
    bases: tuple[str, ...]
    has_data: bool

    def without(self, left_out: Sequence[str]) -> Ground:
        """With some elements left out, and the bases that contain them."""
        elements = tuple(one for one in self.elements if one not in left_out)
        bases = tuple(one for one in self.bases if not set(parse_compound(one).elements) & set(left_out))
        return Ground(elements, self.prototypes, bases, self.has_data)

    def size(self) -> int:
        """How many crystals the elements make in the prototypes, and the bases."""
        return len(self.bases) + sum(_count(prototype, len(self.elements)) for prototype in self.prototypes)

    def crystals(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Each of them: its prototype, and its amounts of elements."""
        bases = [parse_compound(base) for base in self.bases]
        made = [*decorations(self.prototypes, self.elements), *((one.prototype, one.elements) for one in bases)]
        for prototype, elements in made:
            yield str(prototype), dict(zip(elements, map(float, multiplicities(prototype)), strict=True))


def _count(prototype: Prototype, elements: int) -> int:
    match prototype:
        case Prototype.PEROVSKITE:
            return perm(elements, 3)
        case Prototype.HEUSLER | Prototype.HALF_HEUSLER:
            return elements * comb(max(elements - 1, 0), 2)
        case _:
            return comb(elements, 2)


def unreachable(target: Target, ground: Ground) -> Iterator[str]:
    """A sentence for everything that no crystal can meet."""
    yield from _contradiction(target)
    place = target.vicinity
    if place is None:
        return
    left = ground.without(place.without)
    if not left.elements:
        yield f"without {', '.join(place.without)} leaves none of the elements {list(ground.elements)}; leave fewer out"
    elif not left.size() and ground.size():
        yield _nothing_left(place, ground, left)
    elif place.near:
        yield from _too_far(place, ground, left)


def _contradiction(target: Target) -> Iterator[str]:
    """A formation energy that the wanted height above the hull excludes: elements lie on the hull, so it is never above them."""
    ranges = {one.property: one for one in target.ranges()}
    energy, height = ranges.get(E_F), ranges.get(ABOVE_HULL)
    if energy is not None and height is not None and energy.low > max(height.high, 0.0):
        yield (
            f"formation_energy_per_atom >= {energy.low:g} and energy_above_hull <= {height.high:g} exclude each other: the "
            "elements are on the hull, so that a compound lies at least as high above it as its formation energy says; "
            f"ask for an energy_above_hull of {energy.low:g} or more, or for a lower formation energy"
        )


def _nothing_left(place: Vicinity, ground: Ground, left: Ground) -> str:
    fewest = min((len(roles(one)) for one in ground.prototypes), default=0)
    if ground.prototypes:
        return (
            f"without {', '.join(place.without)} leaves {', '.join(left.elements)}, and the prototypes take {fewest} elements "
            "or more: allow more `elements`, or leave fewer out"
        )
    return (
        f"every one of the bases {list(ground.bases)[:6]} contains {' or '.join(place.without)}, and there are no `prototypes`: "
        "nothing is left; add bases or prototypes, or leave fewer elements out"
    )


def _too_far(place: Vicinity, ground: Ground, left: Ground) -> Iterator[str]:
    """Where nothing lies within the distance of any of the compounds."""
    bound, compound = min((nearest_possible(one, left.elements), one) for one in place.near)
    missing = sorted(set(amounts(compound)) - set(left.elements))
    lacking = f", which lack {' and '.join(missing)}," if missing else ""
    addable = [one for one in missing if one not in place.without]
    fewer = ", leave fewer out" if len(addable) < len(missing) else ""
    if bound > place.within:
        yield (
            f"near {compound} within {place.within:g}: compositions of {', '.join(left.elements)}{lacking} come no nearer than "
            f"{bound:.2f}; allow {' and '.join(addable) or 'others'} in `elements`{fewer}, or say within: {_above(bound)}"
        )
    elif not ground.has_data and left.size() <= MOST_TRIED and (found := _nearest(place, left)) is not None:
        far, name, kind = found
        if far > place.within:
            yield (
                f"near {' or '.join(place.near)} within {place.within:g}: of the {left.size()} crystals that these elements"
                f"{lacking} and prototypes make the nearest is {name} in {kind}, at {far:.2f}; say within: {_above(far)}, or allow "
                "other `elements`, `prototypes` or `bases`"
            )


def _nearest(place: Vicinity, ground: Ground) -> tuple[float, str, str] | None:
    """Distance, formula and prototype of the crystal that lies nearest to any of the compounds, in its prototype."""
    tried = []
    for kind, made in ground.crystals():
        near = [one for one in place.near if one.partition(":")[2] in ("", kind)]
        if near:
            name = "".join(f"{symbol}{amount:g}" if amount > 1 else symbol for symbol, amount in made.items())
            tried.append((min(distance(amounts(one), made) for one in near), name, kind))
    return min(tried, default=None)


def _above(value: float) -> str:
    """A round number that is enough."""
    return f"{ceil(value * 10 + 1e-9) / 10:g}"
