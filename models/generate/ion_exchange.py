"""Known compounds with one or two of their elements exchanged for likely ones: the baseline of a generator. No network."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations, product
from math import exp, inf, log, prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.composition import Composition
from pymatgen.core.periodic_table import Element, Species

from crystalloop.models.crystals.chemistry import ionic_radius_ang, metallic_radius_ang
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_number, symbol_of, symbols
from crystalloop.models.draw.proposal import Base, Kind, Proposal

NEVER_SEEN = -5.0
"""lambda of two ions that stand for each other in no known pair of compounds: Hautier's alpha, as pymatgen has it."""
MOST_EXCHANGED = 2
"""Elements of a formula that are exchanged at a time."""
MOST_CHARGES = 20_000
"""Assignments of charges that are looked at; a formula of so many elements that it has more counts as one without charges."""
LIKELIEST = 24
"""Of so many ions for each of two that are exchanged together, all pairs are looked at."""
PER_FORMULA = 200
"""Exchanges of one formula that are kept, the likeliest first."""
LIKENESS = 4.0
"""Mendeleev numbers over which the likeness of two elements falls by a factor e; only weighs alloys against salts."""

Ion = tuple[str, int]
"""An element's symbol and its charge; alloys have none, which is written 0."""
Counts = tuple[tuple[str, int], ...]
"""Atoms of each element, in the order of the symbols."""


@dataclass(frozen=True)
class Exchanges:
    """The likeliest exchanges of a formula, best first.

    Attributes:
        before: ions of its elements, [e], in the order of the symbols.
        numbers, charges: of what stands there afterwards, [x, e].
        log_probability: [x], natural logarithm of the product of p(ion | ion before), the unchanged ones included.
    """

    before: tuple[Ion, ...]
    numbers: NDArray[np.int64]
    charges: NDArray[np.int64]
    log_probability: NDArray[np.float64]


def ion_exchanged(
    parents: Sequence[Base], elements: Collection[str], formulas: Collection[str] | None = None, seed: int = 0
) -> Iterator[Proposal]:
    """Known compounds with one or two elements exchanged, the likeliest first; lazily, each crystal made when asked for.

    The probability of an exchange is that of Hautier et al. (Inorg. Chem. 50, 656, 2011), with the weights lambda that come
    with pymatgen: p(new | old) = exp(lambda(new, old)) / sum over all ions of exp(lambda(ion, old)), multiplied over the ions
    of a formula. One ion is exchanged for one of its charge, two for two that keep the formula neutral. Charges are the neutral
    assignment whose ions are commonest in that table. A parent without one (alloys, mixed valence, tellurides) is exchanged
    by likeness instead: p falls exponentially with the distance of Pettifor's Mendeleev numbers. The cell is scaled by the
    ratio of the mean radii, Shannon's, or metallic ones without charges.

    Args:
        parents: known compounds; their elements need not be among those allowed.
        elements: that a crystal may consist of.
        formulas: anonymous formulas that are wanted, such as ABC3; None for every one.
        seed: breaks ties.

    Yields:
        Proposals of kind SUBSTITUTED with the parent's name in `bases` and the probability as `confidence`. The same parents
        and seed give the same ones in the same order; nothing of them is predicted, screened or known yet.
    """
    allowed = frozenset(elements)
    near = [one for one in parents if len(set(one.crystal.composition) - allowed) <= MOST_EXCHANGED]
    fitting = [one for one in near if formulas is None or _anonymous(one) in formulas]
    found = [exchanges(tuple(sorted(one.crystal.composition.items())), allowed) for one in fitting]
    places = np.repeat(np.arange(len(found)), [len(one.log_probability) for one in found])
    rows = np.concatenate([np.arange(0), *(np.arange(len(one.log_probability)) for one in found)])
    scores = np.concatenate([np.zeros(0), *(one.log_probability for one in found)])
    ties = np.random.default_rng([seed, 47]).permutation(len(scores))
    frames = [_frame(one.crystal) for one in fitting]
    seen = set()
    for each in np.lexsort((ties, -scores.round(9))):
        parent, options, row = fitting[places[each]], found[places[each]], int(rows[each])
        numbers = _exchanged(parent.crystal, options, row)
        key = frames[places[each]], numbers.tobytes()
        if key not in seen:
            seen.add(key)
            yield _made(parent, options, row, numbers)


def _anonymous(parent: Base) -> str:
    return str(Composition(parent.crystal.composition).anonymized_formula)


@lru_cache(maxsize=20_000)
def exchanges(counts: Counts, allowed: frozenset[str]) -> Exchanges:
    """The likeliest exchanges of one or two elements of a formula, PER_FORMULA at most; all elements are allowed ones then."""
    before = charged(counts) or tuple((symbol, 0) for symbol, _ in counts)
    amounts = np.array([count for _, count in counts])
    stay = [
        (np.array([atomic_number(s)]), np.array([q]), np.array([_log_probability((s, q), (s, q))])) for s, q in before
    ]
    change = [_options(ion, allowed) for ion in before]
    made = []
    for places in (pair for size in range(1, MOST_EXCHANGED + 1) for pair in combinations(range(len(before)), size)):
        most = None if len(places) == 1 else LIKELIEST
        picks = [tuple(row[:most] for row in (change if at in places else stay)[at]) for at in range(len(before))]
        taken = np.indices([len(pick[0]) for pick in picks]).reshape(len(picks), -1)  # [e, x]
        made.append(
            [np.stack([pick[part][row] for pick, row in zip(picks, taken, strict=True)], 1) for part in range(3)]
        )
    numbers, charges, parts = (np.concatenate([one[part] for one in made]) for part in range(3))
    distinct = (np.diff(np.sort(numbers, axis=1), axis=1) > 0).all(1)
    neutral = charges @ amounts == 0
    right = np.isin(numbers, [atomic_number(symbol) for symbol in allowed]).all(1)
    kept = np.flatnonzero(distinct & neutral & right)
    total = parts[kept].sum(1)
    best = kept[np.lexsort((*numbers[kept].T, -total.round(9)))[:PER_FORMULA]]
    return Exchanges(before, numbers[best], charges[best], parts[best].sum(1))


@cache
def charged(counts: tuple[tuple[str, int], ...]) -> tuple[Ion, ...] | None:
    """The neutral assignment of charges with the commonest ions of the table; None where there is none.

    Args:
        counts: atoms of each element.
    """
    choices = [_ions_of(symbol) for symbol, _ in counts]
    if prod(len(ions) for ions in choices) > MOST_CHARGES:
        return None
    neutral = [
        ions
        for ions in product(*choices)
        if len(ions) > 1 and sum(count * charge for (_, count), (_, charge) in zip(counts, ions, strict=True)) == 0
    ]
    return max(neutral, key=lambda ions: (sum(log(_weights()[ion]) for ion in ions), ions), default=None)


@cache
def _options(ion: Ion, allowed: frozenset[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """What may stand in an ion's place: atomic numbers, charges of its sign, log probabilities; best first."""
    others: list[Ion] = [(symbol, 0) for symbol in sorted(allowed)] if ion[1] == 0 else sorted(_weights())
    fitting = [one for one in others if one[0] in allowed and one[0] != ion[0] and one[1] * ion[1] >= 0]
    told = [(atomic_number(one[0]), one[1], _log_probability(one, ion)) for one in fitting]
    known = np.array(sorted((one for one in told if one[2] > -inf), key=lambda one: -one[2])).reshape(-1, 3)
    return known[:, 0].astype(np.int64), known[:, 1].astype(np.int64), known[:, 2]


def _log_probability(new: Ion, old: Ion) -> float:
    """Logarithm of p(new | old): Hautier's for ions, likeness for atoms without charge."""
    if old[1] == 0:
        return _log_likeness(new[0], old[0])
    return _lambdas().get(frozenset((new, old)), NEVER_SEEN) - log(_weights()[old])


@cache
def _log_likeness(new: str, old: str) -> float:
    places = _mendeleev()
    if new not in places or old not in places:
        return 0.0 if new == old else -inf
    total = sum(exp(-abs(place - places[old]) / LIKENESS) for place in places.values())
    return -abs(places[new] - places[old]) / LIKENESS - log(total)


@cache
def _mendeleev() -> dict[str, float]:
    """Pettifor's numbers (Solid State Commun. 51, 31, 1984) of the elements that have one."""
    known = {symbol: Element(symbol).data.get("Mendeleev no") for symbol in symbols()[1:]}
    return {symbol: float(place) for symbol, place in known.items() if isinstance(place, int | float)}


@cache
def _lambdas() -> Mapping[frozenset[Ion], float]:
    """Weights of every pair of ions that pymatgen's file names; of an ion with itself the set holds one."""
    from pymatgen.core.structure_prediction import substitution_probability  # campaigns without this arm do not need it

    # Not by its class, which takes seconds to sum up what `_weights` sums up in milliseconds.
    rows = json.loads((Path(substitution_probability.__file__).parent / "data" / "lambda.json").read_text())
    return {frozenset((_ion(one), _ion(other))): float(value) for one, other, value in rows if one != "D1+"}


@cache
def _weights() -> Mapping[Ion, float]:
    """Of every ion the sum over all ions of exp(lambda): the denominator of a conditional probability."""
    ions = sorted({ion for pair in _lambdas() for ion in pair})
    row = {ion: place for place, ion in enumerate(ions)}
    table = np.full((len(ions), len(ions)), exp(NEVER_SEEN))
    for pair, value in _lambdas().items():
        first, *rest = pair
        last = rest[0] if rest else first
        table[row[first], row[last]] = table[row[last], row[first]] = exp(value)
    return {ion: float(table[place].sum()) for ion, place in row.items()}


@cache
def _ions_of(symbol: str) -> tuple[Ion, ...]:
    return tuple(sorted(ion for ion in _weights() if ion[0] == symbol))


@cache
def _ion(text: str) -> Ion:
    """Of `Na+` or `O2-`."""
    species = Species.from_str(text)
    return str(species.symbol), int(species.oxi_state or 0)


def _exchanged(crystal: Crystal, options: Exchanges, row: int) -> NDArray[np.int64]:
    """The crystal's atomic numbers after an exchange, [a]."""
    before = [atomic_number(symbol) for symbol, _ in options.before]
    now = dict(zip(before, options.numbers[row].tolist(), strict=True))
    return np.array([now[int(number)] for number in crystal.numbers], dtype=np.int64)


def _made(parent: Base, options: Exchanges, row: int, numbers: NDArray[np.int64]) -> Proposal:
    """The parent's crystal with those atoms, its cell scaled."""
    ions = tuple(
        (symbol_of(int(number)), int(charge))
        for number, charge in zip(options.numbers[row], options.charges[row], strict=True)
    )
    scale = mean_radius_ratio(parent.crystal.composition, options.before, ions)
    crystal = Crystal(parent.crystal.lattice * scale, numbers, parent.crystal.frac_coords)
    chance = min(1.0, exp(options.log_probability[row]))
    return Proposal(crystal, Kind.SUBSTITUTED, bases=(parent.name,), confidence=chance)


def mean_radius_ratio(counts: Mapping[str, int], before: Sequence[Ion], after: Sequence[Ion]) -> float:
    """Mean radius after over mean radius before: Shannon's where all ions have one, else metallic ones."""
    amounts = [counts[symbol] for symbol, _ in before]
    radii = [
        [ionic_radius_ang(symbol, charge) if charge else None for symbol, charge in ions] for ions in (before, after)
    ]
    if any(radius is None for row in radii for radius in row):
        radii = [[metallic_radius_ang(symbol) for symbol, _ in ions] for ions in (before, after)]
    then, now = (float(np.average(np.array(row, dtype=np.float64), weights=amounts)) for row in radii)
    return now / then


def _frame(crystal: Crystal) -> bytes:
    """Equal for cells of one shape with atoms at the same places, whatever their elements and volume."""
    shape = np.rint(100 * crystal.lattice / crystal.volume_ang3 ** (1 / 3))
    return b"".join(np.asarray(one, dtype=np.int64).tobytes() for one in (shape, np.rint(100 * crystal.frac_coords)))
