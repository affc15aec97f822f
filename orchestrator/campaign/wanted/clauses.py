"""A target's text taken apart: what is minimised, near which compounds, without which elements, and the conditions left. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from crystalloop.models.crystals.quantities import names
from crystalloop.models.draw.target import Direction

LONGEST = 4_000
"""Characters of a text that is read as a target."""
_SPECIAL = r"minimi[sz]e|maximi[sz]e|lowest|highest|near|close to|similar to|like|within|without|excluding|free of|no"
_JOINT = re.compile(rf"(?<!\s)\s*(?:[,;]|\b(?:and|with|where|while|but)\b)\s*|\s+(?=(?:{_SPECIAL})(?:\s|$))")
_AIM = re.compile(r"(minimi[sz]e|maximi[sz]e|lowest|highest)\s+(?:the\s+)?([A-Za-z]\w*)\s*(.*)", re.DOTALL)
_NEAR = re.compile(r"(?:near(?: to)?|close to|similar to|like)\s+(.+)", re.DOTALL)
_WITHIN = re.compile(r"within\s+(\S+)")
_WITHOUT = re.compile(r"(?:without|excluding|free of|no)\s+(.+)", re.DOTALL)
_ALONE = re.compile(rf"(?:{_SPECIAL})\b.*", re.DOTALL)
_EXAMPLE = "write e.g. minimise e_above_hull, near LiFePO4 within 5, without Co"
_FORMULA = re.compile(r"[A-Z][A-Za-z0-9.]*(:\w+)?")
_NUMBER = r"[-+\u2212]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_BETWEEN = re.compile(rf"\bbetween\s+({_NUMBER})\s+and\s+({_NUMBER})")
_CHAIN = re.compile(rf"(?<![\w.])({_NUMBER})\s*(?:<=?|\u2264)\s*([A-Za-z]\w*)\s*(?:<=?|\u2264)\s*(?={_NUMBER})")
_TO = re.compile(rf"\bin\s+({_NUMBER})\s+to\s+(?={_NUMBER})")


@dataclass(frozen=True)
class Clauses:
    """The parts of a target's text.

    Attributes:
        conditions: the text with blanks in place of all else, so that places in it stay what they were.
        aims: names and directions, in the order of the text.
        near, within, without: as in a table.
    """

    conditions: str = ""
    aims: tuple[tuple[str, Direction], ...] = ()
    near: tuple[str, ...] = ()
    within: str | None = None
    without: tuple[str, ...] = ()

    def place(self) -> dict[str, object]:
        """What it says of compositions, as keys of a table."""
        made: dict[str, object] = {"near": list(self.near)} if self.near else {}
        made |= {"within": _number(self.within)} if self.within is not None else {}
        return made | ({"without": list(self.without)} if self.without else {})


def clauses_of(text: str) -> Clauses:
    """Take a target's text apart.

    Raises:
        ValueError: a clause that begins like one of these and does not go on like it.
    """
    if len(text) > LONGEST:
        raise ValueError(f"a text of {len(text)} characters; a target has {LONGEST} at most, and lists may be longer")
    text = with_plain_names(text)
    text = _TO.sub(r"in \1..", _CHAIN.sub(r"\2 in \1..", _BETWEEN.sub(r"in \1..\2", text)))
    found, plain = Clauses(), list[tuple[int, int]]()
    last = ""
    for start, end in _spans(text):
        clause = text[start:end]
        if aim := _AIM.fullmatch(clause):
            found = replace(found, aims=(*found.aims, (aim[2], direction_of(aim[1]))))
            plain += [(start + aim.start(2), end)] if aim[3] else []
            last = "aim"
        elif near := _NEAR.fullmatch(clause):
            found, last = replace(found, near=(*found.near, *_listed(near[1]))), "near"
        elif within := _WITHIN.fullmatch(clause):
            found = replace(found, within=within[1])
        elif without := _WITHOUT.fullmatch(clause):
            found, last = replace(found, without=(*found.without, *_listed(without[1]))), "without"
        elif last == "near" and _FORMULA.fullmatch(clause):
            found = replace(found, near=(*found.near, clause))
        elif last == "without" and _FORMULA.fullmatch(clause):
            found = replace(found, without=(*found.without, clause))
        elif _ALONE.fullmatch(clause):
            raise ValueError(f"{clause[:60]!r}: of what? {_EXAMPLE}")
        else:
            plain.append((start, end))
            last = ""
    if not (found.aims or found.near or found.within or found.without):
        return Clauses(re.sub(r"\b(?:with|where|while|but)\b|;", lambda joint: ",".ljust(len(joint[0])), text))
    return replace(found, conditions=_only(text, plain))


def with_plain_names(text: str) -> str:
    """Names of properties as they are known: `bulk modulus`, `Band-gap` and `E_f` are bulk_modulus, band_gap and e_f."""
    return _NAMES.sub(lambda found: re.sub(r"[ -]", "_", found[0].lower()), text)


def direction_of(word: str) -> Direction:
    """Which way a word asks for, in either spelling."""
    return Direction.MINIMISE if word.startswith(("minimi", "low")) else Direction.MAXIMISE


_NAMES = re.compile(
    r"(?<!\w)(?:"
    + "|".join(
        re.escape(name).replace("_", "[ _-]") for name in sorted(names(), key=len, reverse=True) if len(name) > 1
    )
    + r")(?!\w)",
    re.IGNORECASE,
)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where the clauses stand that joints part."""
    start = len(text) - len(text.lstrip())
    for joint in _JOINT.finditer(text):
        if text[start : joint.start()].strip():
            yield start, joint.start()
        start = joint.end()
    if text[start:].strip():
        yield start, len(text.rstrip())


def _only(text: str, spans: list[tuple[int, int]]) -> str:
    """The text of some spans at their places, with a comma between them."""
    made = [" "] * len(text)
    for number, (start, end) in enumerate(spans):
        made[start:end] = text[start:end]
        if number:
            made[start - 1] = ","
    return "".join(made).rstrip()


def _listed(text: str) -> tuple[str, ...]:
    return tuple(one for one in re.split(r"\s*(?:/|\bor\b|\bnor\b|\s)\s*", text.strip()) if one)


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text
