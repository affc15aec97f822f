"""Which regular expressions a filter may hold: those that cannot keep the server busy for ever. What matches is said elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bson.regex import Regex

from crystalloop.db.embedded.engine.values import BsonDocument, Code, CommandError

MOST_CHARACTERS, MOST_LOOSE, MOST_REPEATS = 500, 2, 10
"""Of a pattern: its length, how many of its repeats have no end, each another loop over the text, and how many there are."""
CODE = frozenset({"$where", "$function", "$accumulator"})
_PIECE = re.compile(
    r"\\(?P<reference>[1-9])|\\.|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<open>\((?:\?(?:[:=!>]|<[=!]|P?<\w+>|P=\w+|[aiLmsux-]+[:)])?)?)"
    r"|(?P<close>\))|(?P<bar>\|)|(?P<repeat>[*+?]|\{(?P<low>\d*)(?P<comma>,?)(?P<high>\d*)\})|.",
    re.DOTALL,
)


def refuse_code_and_slow_patterns(body: BsonDocument) -> None:
    """Look through a command.

    Raises:
        CommandError: it holds program text, or a pattern that could take more than a moment.
    """
    for name, value in _fields(body):
        if name in CODE:
            raise CommandError(Code.NotImplemented, f"this server runs no program text: {name}")
        if isinstance(value, Regex):
            _require_quick(value.pattern)
        elif name in {"$regex", "regex"} and isinstance(value, str | bytes):
            _require_quick(value)


def _fields(body: BsonDocument) -> Iterator[tuple[str, Any]]:
    """Every field of a document with its value, of the documents and lists in it, too, however deep."""
    left: list[Any] = [body]
    while left:
        here = left.pop()
        pairs = here.items() if isinstance(here, dict) else (("", value) for value in here)
        for name, value in pairs:
            yield name, value
            if isinstance(value, dict | list):
                left.append(value)


def _require_quick(given: str | bytes) -> None:
    pattern = given.decode(errors="replace") if isinstance(given, bytes) else given
    if len(pattern) > MOST_CHARACTERS:
        raise _refused(pattern, f"it has more than {MOST_CHARACTERS} characters")
    if reason := slow(pattern):
        raise _refused(pattern, reason)
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise CommandError(Code.BadValue, f"$regex {pattern[:60]!r}: {error}") from error


def slow(pattern: str) -> str:
    """Why a pattern may take more than a moment; empty where it may not. Stricter than need be: it never says yes wrongly."""
    repeats, loose, varied, last_varied = (
        0,
        0,
        [False],
        False,
    )  # for each open group: whether its text can be read in several ways
    for piece in _PIECE.finditer(pattern):
        if piece["reference"] or (piece["open"] or "").startswith("(?P="):
            return "it refers back to what it matched"
        if piece["open"]:
            varied.append(False)
            continue
        if piece["close"]:
            inside = varied.pop() if len(varied) > 1 else False
            varied[-1] = varied[-1] or inside
            last_varied = inside
            continue
        if piece["bar"]:
            varied[-1] = True
        if piece["repeat"]:
            if last_varied and piece["repeat"] != "?":
                return "it repeats what repeats or has alternatives"
            endless = piece["repeat"] in "*+" or (bool(piece["comma"]) and not piece["high"])
            large = max(int(piece["low"] or 0), int(piece["high"] or 0)) > 1000 if piece["low"] is not None else False
            loose += endless or large
            varied[-1] = True
            repeats += 1
        if repeats > MOST_REPEATS:
            return f"it has more than {MOST_REPEATS} repeats"
        if loose > MOST_LOOSE:
            return f"it has more than {MOST_LOOSE} repeats without an end"
        last_varied = False
    return ""


def _refused(pattern: str, reason: str) -> CommandError:
    return CommandError(
        Code.BadValue,
        f"$regex {pattern[:60]!r} could keep this server busy for ever: {reason}; simplify it, or filter what comes back",
    )
