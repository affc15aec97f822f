"""Symbols of space groups, however old, full or loosely spelt -> the settings of gemmi's table that they may mean."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

import gemmi

from crystalloop.models.formats.cif_reader.refusal import CifError

_E_GLIDES = {
    "aem2": "abm2", "bme2": "bma2", "b2em": "b2cm", "c2me": "c2mb", "cm2e": "cm2a", "ae2m": "ac2m",
    "aea2": "aba2", "bbe2": "bba2", "b2eb": "b2cb", "c2ce": "c2cb", "cc2e": "cc2a", "ae2a": "ac2a",
    "cmce": "cmca", "ccme": "ccmb", "aema": "abma", "aeam": "acam", "bbem": "bbcm", "bmeb": "bmab",
    "cmme": "cmma", "aemm": "abmm", "bmem": "bmcm", "ccce": "ccca", "aeaa": "abaa", "bbeb": "bbcb",
}  # fmt: skip
"""Symbols of 1992 with e for two glides, and those of gemmi's table."""


@dataclass(frozen=True)
class Claim:
    """Something that a block says of its group.

    Attributes:
        words: for messages: `symbol 'F m 3 m'`.
        settings: that it may mean.
        soft: the suffix is a letter of ICSD's, which listed operations overrule.
    """

    words: str
    settings: tuple[gemmi.SpaceGroup, ...]
    soft: bool = False

    @property
    def numbers(self) -> set[int]:
        """Numbers of the space groups among the settings."""
        return {setting.number for setting in self.settings}


@lru_cache(maxsize=1)
def settings_by_number() -> dict[int, tuple[gemmi.SpaceGroup, ...]]:
    """Settings by number, the standard one's symbol first."""
    found: defaultdict[int, list[gemmi.SpaceGroup]] = defaultdict(list)
    for setting in gemmi.spacegroup_table():
        found[setting.number].append(setting)
    for settings in found.values():
        standard = next((one.hm for one in settings if one.is_reference_setting()), "")
        settings.sort(key=lambda one: one.hm != standard)
    return {one: tuple(settings) for one, settings in found.items()}


@lru_cache(maxsize=1)
def _by_spelling() -> dict[str, tuple[gemmi.SpaceGroup, ...]]:
    """Settings by symbols without spaces: short, with every 1, and as in tables before 1983 (F m 3 m)."""
    found: defaultdict[str, list[gemmi.SpaceGroup]] = defaultdict(list)
    for setting in gemmi.spacegroup_table():
        words = setting.hm.lower().split()
        spellings = {"".join(words)}
        if setting.crystal_system() == gemmi.CrystalSystem.Monoclinic:
            spellings.add("".join(word for word in words if word != "1"))
        if len(words) > 2 and words[2] == "-3":
            spellings.add("".join(words).replace("-3", "3", 1))
        for spelling in spellings:
            found[spelling].append(setting)
    return {one: tuple(sorted(settings, key=_by_axis)) for one, settings in found.items()}


def _by_axis(setting: gemmi.SpaceGroup) -> int:
    return "bca".find(str(setting.monoclinic_unique_axis()))


def _spelt(name: str) -> tuple[gemmi.SpaceGroup, ...]:
    """Settings of a symbol without its suffix, however it is spelt."""
    tight = re.sub(r"bar\{?(\d)\}?", r"-\1", re.sub(r"[\\$]", "", name.lower()))
    tight = re.sub(r"</?su[bp]>|sub|[\s_(){}~]", "", tight)
    tight = _E_GLIDES.get(tight, tight)
    short = re.sub(r"^([pif])[24]\d?/([a-z])-3", r"\1\2-3", tight)
    short = re.sub(r"(?<![46])21?/(?=[a-z])", "", short)
    known = _by_spelling()
    return known.get(tight) or known.get(short) or known.get(_E_GLIDES.get(short, short)) or ()


@lru_cache(maxsize=1024)
def claim_of_symbol(given: str, code: str | None) -> Claim | None:
    """What a symbol means, its suffix included; None where no table has it."""
    name, suffix = given.strip().strip("'\""), ""
    for pattern, meaning in (
        (r"[\s,]*\(?\s*origin\s*(?:choice|at)?\s*([12])\s*\)?$", None),
        (r"[\s,]*\(?\s*(hex|rhomb)[a-z]*(?:\s+(?:axes|setting|cell))?\s*\)?$", None),
        (r"[\s,]*\(?\s*(?:no\.?|#)\s*\d+\s*\)?$", ""),
        (r"\s*:\s*([\w-]+)\s*$", None),
    ):
        if found := re.search(pattern, name, re.IGNORECASE):
            name, suffix = name[: found.start()], suffix if meaning == "" else found[1].lower()
    suffix = {"hex": "h", "rhomb": "r"}.get(suffix, suffix)
    settings = _spelt(name)
    if not settings and not suffix and (found := re.fullmatch(r"(.*[\w/])\s*(hr|rs|[szhr])", name, re.IGNORECASE)):
        settings, suffix = _spelt(found[1]), found[2].lower()
    if not settings:
        return None
    for one in filter(None, (suffix, code and code.lower())):
        settings = _with_suffix(settings, one)
    if not settings:
        raise CifError(f"space group {given!r} has no setting {suffix or code!r}; write a setting of the tables")
    return Claim(f"symbol {given!r}", settings, soft=suffix in ("s", "z", "hr", "rs"))


def _with_suffix(settings: tuple[gemmi.SpaceGroup, ...], suffix: str) -> tuple[gemmi.SpaceGroup, ...]:
    """Those of the settings that a suffix means; ICSD writes S and Z (its centre) for origin choices 1 and 2."""
    wanted = {"s": "1", "z": "2", "hr": "h", "rs": "r"}.get(suffix, suffix)
    found = re.fullmatch(r"([12hr]?)(.*)", wanted)
    extension, axes = (found[1], found[2]) if found else ("", wanted)
    if suffix in ("s", "z") and not any(one.ext in ("1", "2") for one in settings):
        return settings
    return tuple(
        one
        for one in settings
        if (not extension or one.ext.lower() == extension)
        and (not axes or one.qualifier.lower() == axes or (axes == "abc" and not one.qualifier))
    )
