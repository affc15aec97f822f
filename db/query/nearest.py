"""The known name nearest to an unknown one, for `did you mean x?`. Which names there are, whoever asks knows."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest_name(name: str, among: Iterable[str]) -> str | None:
    """The name nearest to one that is unknown, capitals aside; None without any."""
    short, known = name[:60], list(among)
    near = [one for one in known if one.casefold() == short.casefold()][:1]
    near = (
        near
        or get_close_matches(short, known, 1, cutoff=0.5)
        or get_close_matches(short.casefold(), known, 1, cutoff=0.5)
    )
    return near[0] if near else None


def nearest(name: str, among: Iterable[str]) -> str:
    """The same as `did you mean x?`, empty without any."""
    near = nearest_name(name, among)
    return f"did you mean {near}?" if near else ""
