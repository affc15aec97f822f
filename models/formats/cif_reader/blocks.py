"""CIF syntax: text -> the one data block that holds a crystal, its values by name, its numbers. What they mean: the other files.

gemmi parses. Names go in small letters with `_` for `.`, so that `_atom_site.fract_x` of the newer dictionaries, and capitals of
any kind, are the `_atom_site_fract_x` of the older ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gemmi import cif

from crystalloop.models.formats.cif_reader.refusal import CifError

_MAX_MB, _MOST_GAPS = 20, 6_000_000  # of one letter each, values take 60 bytes
_NUMBER = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)(?:\(\d*\))?")
_FRACTION = re.compile(r"([+-]?\d{1,6})/(\d{1,6})")
_NO_ASCII = {0x2212: "-", 0x2013: "-", 0x2010: "-", 0x2011: "-", 0xA0: " ", 0x85: " ", 0x2028: " ", 0x2029: " "}
_NO_ASCII |= {0x2080 + digit: str(digit) for digit in range(10)}  # the screws of P6\u2083/mmc
POSITIONS = tuple(f"_atom_site_{kind}_{axis}" for kind in ("fract", "cartn") for axis in "xyz")
NULLS = frozenset({".", "?"})


@dataclass
class CifBlock:
    """The values of one data block, and what the user should hear of how they are read.

    Attributes:
        name: of the block.
        notes: sentences that readers of its parts add.
    """

    name: str
    notes: list[str] = field(default_factory=list)
    _columns: dict[str, cif.Column] = field(default_factory=dict)
    _spelt: dict[str, str] = field(default_factory=dict)

    def add(self, tag: str, values: cif.Column) -> None:
        """Keep a column, or a single value; two spellings of one name must say the same.

        Raises:
            CifError: they do not.
        """
        name = tag.lower().replace(".", "_")
        if name in self._columns and list(self._columns[name]) != list(values):
            raise CifError(f"{self._spelt[name]} and {tag} are one name and differ; leave one of them out")
        self._columns.setdefault(name, values)
        self._spelt.setdefault(name, tag)

    def length(self, *names: str) -> int:
        """How many values the longest of these names has."""
        return max((len(self._columns[name]) for name in names if name in self._columns), default=0)

    def column(self, *names: str) -> list[str] | None:
        """Values of the first of these names that the block has, quotes taken off; None where it has none of them."""
        for name in names:
            if (values := self._columns.get(name)) is not None:
                return [value if value in NULLS else cif.as_string(value).strip() for value in values]
        return None

    def all_of(self, *names: str) -> list[tuple[str, str]]:
        """(name as spelt, value) of those of these single values that are given and not `.` or `?`."""
        found = []
        for name in names:
            given = (self.column(name) or [""])[0]
            if given.strip() and given not in NULLS:
                found.append((self._spelt[name], given))
        return found

    def first(self, *names: str) -> str | None:
        """The first given of these single values, `.` and `?` counting as not given."""
        return next((value for _, value in self.all_of(*names)), None)

    def named(self, beginning: str) -> list[str]:
        """Names of the block, as spelt there, that begin so."""
        return [self._spelt[name] for name in self._columns if name.startswith(beginning)]

    def note(self, sentence: str) -> None:
        """Add a sentence for the user, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)


def number(given: str) -> float:
    """The number of `5.64`, `5.640(12)`, `.5`, `1/3`; nan of everything else (`.` and `?` and `0,5` too)."""
    if found := _NUMBER.fullmatch(given.strip()):
        return float(found[1]) if math.isfinite(float(found[1])) else math.nan
    if found := _FRACTION.fullmatch(given.strip()):
        return int(found[1]) / int(found[2]) if int(found[2]) else math.nan
    return math.nan


def why_no_number(given: str) -> str:
    """What a user may have meant by a text that is no number."""
    if re.fullmatch(r"[+-]?\d*,\d+(\(\d*\))?", given.strip()):
        return ": decimals have a point in CIF"
    return ""


def block_of(text: str, wanted: str | None) -> CifBlock:
    """The data block with atoms, or the one of the name that is wanted.

    Raises:
        CifError: no CIF, no atoms, several blocks with atoms and none or an unknown one is wanted.
    """
    blocks = _parsed(text)
    if wanted is not None:
        return _named(blocks, wanted)
    with_atoms = [block for block in blocks if block.length(*POSITIONS)]
    if not with_atoms:
        what = "no atoms (_atom_site_fract_x) in any of its data blocks" if blocks else "no data block"
        raise CifError(f"{what}; give one CIF file with a cell and fractional coordinates")
    if len(with_atoms) > 1:
        raise CifError(f"holds {len(with_atoms)} crystals ({_names(with_atoms)}), wanted is one; split the file")
    return with_atoms[0]


def _named(blocks: Sequence[CifBlock], wanted: str) -> CifBlock:
    found = [block for block in blocks if block.name.lower() == wanted.strip().lower().removeprefix("data_")]
    if not found:
        raise CifError(f"no data block is named {wanted!r}; it has {_names(blocks) or 'none'}")
    if not found[0].length(*POSITIONS):
        raise CifError(f"data block {wanted!r} holds no atoms (_atom_site_fract_x); choose another of {_names(blocks)}")
    return found[0]


def _names(blocks: Sequence[CifBlock]) -> str:
    shown = [block.name or "(no name)" for block in blocks]
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")


def _parsed(text: str) -> list[CifBlock]:
    cleaned = _cleaned(text)
    try:
        document = cif.read_string(cleaned)
    except (ValueError, RuntimeError, UnicodeError) as error:  # the three that gemmi raises
        raise CifError(_said(str(error), cleaned)) from error
    return [_block(block) for block in document if block.name or len(list(block))]


def _cleaned(text: str) -> str:
    """ASCII with line feeds at line ends: what is beyond (names of authors, a typographic minus) carries no crystal."""
    if len(text) > _MAX_MB * 2**20:
        raise CifError(f"has {len(text) / 2**20:.0f} MB, {_MAX_MB} are read; leave reflections and profiles out")
    if (gaps := sum(text.count(space) for space in " \t\n\r")) > _MOST_GAPS:
        raise CifError(f"has {gaps} spaces and lines, {_MOST_GAPS} are read; leave reflections and profiles out")
    if "\0" in text:
        raise CifError(f"is no text (character {text.index(chr(0)) + 1} is NUL), or UTF-16; convert it to UTF-8")
    text = text.removeprefix("\ufeff").removeprefix("\xef\xbb\xbf").replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = (
            re.sub("([0-9]) ?[\u0304\u0305]", r"-\1", text.translate(_NO_ASCII))
            .encode("ascii", "backslashreplace")
            .decode("ascii")
        )
    return re.sub(r"[\x01-\x08\x0b-\x1f\x7f]", " ", text)


def _said(error: str, text: str) -> str:
    """A sentence of gemmi's `string:3:7(23): unterminated 'string'`."""
    found = re.match(r"string:(\d+)(?::\d+\(\d+\))?(?: in [^:]*)?:\s*(.*)", error, re.DOTALL)
    line, said = (int(found[1]), found[2]) if found else (0, error.removeprefix("string: "))
    if "expected block header" in said:
        return "no data block (data_...) at its beginning; give one CIF file with a cell and fractional coordinates"
    at = next(iter(text.splitlines()[line - 1 : line]), "").strip() if line else ""
    shown = f"line {line} ({at[:60]!r})" if at else "it"
    if "'''" in at or '"""' in at or re.match(r"\S+ {1,9}[\[{]", at[:200]):
        said += "; lists, tables and triple quotes of CIF 2 are not read"
    elif re.match(r"_\S{1,80} {1,40}[^'\"; ]{1,80} {1,9}[^'\"#]", at[:300]):
        said += "; a value with spaces stands in quotes"
    return f"{shown} is no CIF: {said[:160]}; mend the file"


def _block(parsed: cif.Block) -> CifBlock:
    block = CifBlock(parsed.name.strip())
    for item in parsed:
        if isinstance(pair := item.pair, list | tuple):
            block.add(str(pair[0]), parsed.find_values(str(pair[0])))
        elif item.loop is not None:
            for tag in item.loop.tags:
                block.add(tag, parsed.find_values(tag))
    return block
