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
    "cmme": "cmma cmmb", "aemm": "abmm acmm", "bmem": "bmcm bmam", "ccce": "ccca cccb", "aeaa": "abaa acaa", "bbeb": "bbcb bbab",
}  # fmt: skip
"""Symbols of 1992 with e for two glides, and those of gemmi's table, the standard one first."""


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
    def usual(self) -> tuple[gemmi.SpaceGroup, ...]:
        """The settings of the first one's symbol: origins and axes alone."""
        return tuple(one for one in self.settings if one.hm == self.settings[0].hm)

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


def spelt(name: str) -> tuple[gemmi.SpaceGroup, ...]:
    """Settings of a symbol without its suffix, however it is spelt."""
    tight = re.sub(r"(?:bar|overline|=)\s*\{?\s*(\d)\s*\}?", r"-\1", re.sub(r"[\\$]", "", name.lower()))
    tight = re.sub(r"</?su[bp]>|sub|[\s_(){}~]", "", tight)
    short = re.sub(r"^([pif])[24]\d?/([a-z])-3", r"\1\2-3", tight)
    short = re.sub(r"(?<![46])21?/(?=[a-z])", "", short)
    known = _by_spelling()
    return known.get(tight) or tuple(
        setting for one in _E_GLIDES.get(short, short).split() for setting in known.get(one, ())
    )


_ENDINGS = (
    r"[\s,]*\(?\s*origin\s*(?:choice|at)?\s*(?P<suffix>[12])\s*\)?",
    r"[\s,]*\(?\s*(?P<suffix>hex|rhomb)[a-z]*(?:\s+(?:axes|setting|cell))?\s*\)?",
    r"\s*:\s*(?P<suffix>[\w-]+)\s*",
    r"[\s,]*(?:\(\s*(?:no\.?|number|#)?|no\.?|number|#)\s*(?P<number>\d+)\s*\)?",
    r"(?<=[\w/])\s*(?P<suffix>hr|rs|[szhr])",
)
"""What programs write behind a symbol; tried where the symbol as it stands is in no table."""


@lru_cache(maxsize=1024)
def claim_of_symbol(given: str, code: str | None) -> Claim | None:
    """What a symbol means, its suffix included; None where no table has it.

    Args:
        given: as the file writes it.
        code: of the coordinate system (`_space_group_IT_coordinate_system_code`): 1, 2, H, R, b1, -cba.

    Raises:
        CifError: the table has the symbol, and not with this suffix.
    """
    name, suffix, number = given.strip().strip("'\"")[:80], "", ""
    settings = spelt(name)
    for _ in range(3):
        found = next((one for ending in _ENDINGS if (one := re.search(f"(?:{ending})$", name, re.IGNORECASE))), None)
        if settings or found is None:
            break
        parts = found.groupdict()
        suffix, number = (parts.get("suffix") or suffix).lower(), parts.get("number") or number
        name = name[: found.start()]
        settings = spelt(name)
    if not settings:
        return None
    for setting in filter(None, (suffix, code and code.lower())):
        settings = _with_suffix(settings, setting)
    settings = tuple(one for one in settings if not number or one.number == int(number))
    if not settings:
        raise CifError(
            f"space group {given[:60]!r} has no setting {suffix or code or number!r}; write a setting of the tables"
        )
    return Claim(f"symbol {given[:60]!r}", settings, soft=suffix in ("s", "z", "hr", "rs"))


def _with_suffix(settings: tuple[gemmi.SpaceGroup, ...], suffix: str) -> tuple[gemmi.SpaceGroup, ...]:
    """Those of the settings that a suffix means; ICSD writes S and Z (its centre) for origin choices 1 and 2."""
    wanted = {"s": "1", "z": "2", "hr": "h", "rs": "r", "hex": "h", "rhomb": "r"}.get(suffix, suffix)
    found = re.fullmatch(r"([12hr]?)(.*)", wanted)
    extension, axes = (found[1], found[2]) if found else ("", wanted)
    if suffix in ("s", "z", "1") and not any(one.ext in ("1", "2") for one in settings):
        return settings
    if axes and settings and settings[0].hm not in {one.hm for one in settings if one.qualifier.lower() == axes}:
        settings = (*settings, *settings_by_number()[settings[0].number])  # P n m a:cab is P b n m
    return tuple(
        one
        for one in dict.fromkeys(settings)
        if (not extension or one.ext.lower() == extension)
        and (not axes or one.qualifier.lower() == axes or (axes == "abc" and not one.qualifier))
    )
