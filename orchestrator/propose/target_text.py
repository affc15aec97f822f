"""What `generate --target` wants, from text: ranges of properties. A small parser, no evaluation. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from math import inf, log10

from crystalloop.models.crystals.properties import TABLE

ALIASES = {
    "e_f": "formation_energy_per_atom",
    "energy": "energy_per_atom",
    "gap": "band_gap",
    "K": "log10_bulk_modulus",
    "bulk_modulus": "log10_bulk_modulus",
    "G": "log10_shear_modulus",
    "shear_modulus": "log10_shear_modulus",
    "poisson": "poisson_ratio",
    "n": "refractive_index",
    "eps": "log10_dielectric",
    "dielectric": "log10_dielectric",
}
"""Short names; those of a logarithm take its argument (GPa, or the dielectric constant itself)."""
_BOUNDS = {row.name: row for row in TABLE}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_CLAUSE = re.compile(
    rf"\s*(?P<name>[A-Za-z_]\w*)\s*(?:(?P<sign><=|>=|<|>)\s*(?P<end>{_NUMBER})"
    rf"|in\s+(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER}))\s*"
)
_NAME = re.compile(r"\s*([A-Za-z_]\w*)")
_AND = re.compile(r"and\b|,")


class TargetError(Exception):
    """A --target that cannot be read; the message has the place, and what can be written there."""

    exit_kind = "usage"


@dataclass(frozen=True)
class Wanted:
    """A range that a property's prediction must lie in, ends included, in the units of models.crystals.properties.

    Attributes:
        property: name in models.crystals.properties.
        low, high: ends; -inf and inf where open.
    """

    property: str
    low: float = -inf
    high: float = inf

    def holds(self, value: float | None) -> bool:
        """Whether a predicted value lies in the range; not for an unknown one."""
        return value is not None and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.property} in {self.low:g}..{self.high:g}"


def parse_target(text: str) -> tuple[Wanted, ...]:
    """Read clauses `NAME in LOW..HIGH`, `NAME < X`, `NAME > X`, joined by `and` or a comma.

    Raises:
        TargetError: another form, an unknown property, an empty range, or one outside what the property can be.
    """
    wanted: list[Wanted] = []
    at = 0
    while True:
        match = _CLAUSE.match(text, at)
        if match is None:
            raise _unreadable(text, at)
        wanted.append(_clause(text, match))
        at = match.end()
        if at == len(text):
            return _each_once(text, wanted)
        joint = _AND.match(text, at)
        if joint is None:
            raise _error(text, at, "expected `and`, or the end")
        at = joint.end()


def _clause(text: str, match: re.Match[str]) -> Wanted:
    name = match["name"]
    prop = _property(text, name, match.start("name"))
    logarithm = prop.startswith("log10_") and name in ALIASES

    def end(group: str) -> float:
        value = float(match[group])
        if not logarithm:
            return value
        if value <= 0:
            raise _error(text, match.start(group), f"{name} = {value:g} is not positive")
        return log10(value)

    if match["sign"]:
        value, place = end("end"), match.start("end")
        made = Wanted(prop, high=value) if match["sign"].startswith("<") else Wanted(prop, low=value)
    else:
        made, place = Wanted(prop, end("low"), end("high")), match.start("low")
        if made.low > made.high:
            raise _error(
                text, place, f"the range {match['low']}..{match['high']} is empty; write the smaller end first"
            )
    bound = _BOUNDS[prop]
    if made.low > bound.highest or made.high < bound.lowest:
        unit = f" {bound.unit}" if bound.unit else ""
        raise _error(text, place, f"{prop} lies within {bound.lowest:g}..{bound.highest:g}{unit}: wrong unit?")
    return made


def _property(text: str, name: str, at: int) -> str:
    if name in ALIASES or name in _BOUNDS:
        return ALIASES.get(name, name)
    known = [*ALIASES, *_BOUNDS]
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise _error(text, at, f"unknown property {name!r}; {hint}known: {', '.join(known)}")


def _each_once(text: str, wanted: list[Wanted]) -> tuple[Wanted, ...]:
    """One range for each property: `gap > 1 and gap < 3` is 1..3."""
    ranges: dict[str, Wanted] = {}
    for one in wanted:
        before = ranges.get(one.property, Wanted(one.property))
        both = Wanted(one.property, max(before.low, one.low), min(before.high, one.high))
        if both.low > both.high:
            raise _error(text, len(text), f"nothing has {before} and {one}")
        ranges[one.property] = both
    return tuple(ranges.values())


def _unreadable(text: str, at: int) -> TargetError:
    name = _NAME.match(text, at)
    if name is not None:
        _property(text, name[1], name.start(1))
        at = name.end()
    return _error(text, at, "expected e.g. `e_f in -2.5..-1.5`, `e_f < -1` or `gap > 2`")


def _error(text: str, at: int, what: str) -> TargetError:
    return TargetError(f"--target {text!r}, character {at + 1}: {what}")
