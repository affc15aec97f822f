"""Base compounds as a user writes them, FORMULA:prototype, and back. Formulas of crystals are in formulas."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crystalloop.models.crystals.elements import atomic_numbers
from crystalloop.models.crystals.prototypes import Prototype, multiplicities, roles

if TYPE_CHECKING:
    pass


_TOKEN = re.compile(r"([A-Z][a-z]?)(\d*)")


@dataclass(frozen=True)
class Compound:
    """A prototype with an element on each role; `name` is how the user wrote it."""

    name: str
    prototype: Prototype
    elements: tuple[str, ...]


def parse_compound(text: str) -> Compound:
    """Read FORMULA:prototype; elements are written in the order of the prototype's roles (perovskite A B X).

    Raises:
        ValueError: no colon, unknown prototype or element, or numbers of atoms that the prototype does not have.
    """
    formula, colon, name = text.partition(":")
    known = ", ".join(Prototype)
    if not colon:
        raise ValueError(f"{text!r} names no prototype; write e.g. 'LiF:{Prototype.ROCKSALT}' with one of {known}")
    if name not in set(Prototype):
        raise ValueError(f"{text!r}: unknown prototype {name!r}; there are {known}")
    prototype = Prototype(name)
    tokens = _TOKEN.findall(formula)
    if "".join(symbol + number for symbol, number in tokens) != formula or not tokens:
        raise ValueError(f"{text!r}: {formula!r} is not a chemical formula")
    unknown = [symbol for symbol, _ in tokens if symbol not in atomic_numbers()]
    if unknown:
        raise ValueError(f"{text!r}: {unknown[0]!r} is not an element symbol")
    given = tuple(int(number or 1) for _, number in tokens)
    wanted = multiplicities(prototype)
    if sorted(given) != sorted(wanted):
        pattern = " ".join(
            f"{role}{count if count > 1 else ''}" for role, count in zip(roles(prototype), wanted, strict=True)
        )
        raise ValueError(f"{text!r}: {prototype} has the formula {pattern}; {formula} does not fit")
    return Compound(text, prototype, _by_role(tokens, given, wanted))


def _by_role(tokens: list[tuple[str, str]], given: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[str, ...]:
    """Give each role the first unused element with its number of atoms."""
    left = list(zip([symbol for symbol, _ in tokens], given, strict=True))
    chosen = []
    for count in wanted:
        pick = next(item for item in left if item[1] == count)
        left.remove(pick)
        chosen.append(pick[0])
    return tuple(chosen)
