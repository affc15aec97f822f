"""JSON -> the one crystal in it, whatever stands around it. The shapes themselves: objects/. Nothing in a document names code."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from crystalloop.models.formats.cif import read_cif
from crystalloop.models.formats.crystal_read import CrystalRead, FormatError
from crystalloop.models.formats.objects.ase_atoms import crystal_of_ase, is_ase
from crystalloop.models.formats.objects.flat_rows import crystal_of_flat, is_flat
from crystalloop.models.formats.objects.optimade import crystal_of_optimade, is_optimade
from crystalloop.models.formats.objects.pymatgen_sites import crystal_of_sites, has_sites
from crystalloop.models.formats.parts.words import refuse_long, shown

_SHAPES: tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], CrystalRead]], ...] = (
    (has_sites, crystal_of_sites),
    (is_optimade, crystal_of_optimade),
    (is_ase, crystal_of_ase),
    (is_flat, crystal_of_flat),
)
_KNOWN = (
    "lattice and sites (pymatgen, Materials Project), lattice_vectors and cartesian_site_positions (OPTIMADE), "
    "numbers, positions and cell (ASE), or species, frac_coords and lattice"
)
_DEEPEST, _MOST_MB = 6, 8


def read_json(text: str) -> CrystalRead:
    """The one crystal of a JSON text; keys written twice are refused, since one of them would be lost.

    Raises:
        FormatError: no JSON, none or several crystals, a field that is wrong.
    """
    refuse_long(text, _MOST_MB)
    return structure_of_object(_parsed(text))


def _parsed(text: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise FormatError("is nested too deeply for a crystal; give the object of the crystal alone") from error
    except json.JSONDecodeError as error:
        what = _lines_instead(text)
        raise FormatError(what or f"is no JSON (line {error.lineno}, column {error.colno}: {error.msg})") from error
    except FormatError:
        raise
    except ValueError as error:  # a whole number of more digits than Python reads
        raise FormatError(f"holds a number that cannot be read ({str(error)[:80]})") from error


def structure_of_object(found: object) -> CrystalRead:
    """The one crystal of a parsed JSON value: an object of a known shape, or what holds exactly one of them.

    What stands under `structure` is meant, where there is that key. Disorder and dummies are not judged here: `parts.sound`.

    Args:
        found: of `json.loads`, or a row of a table with its cells parsed.

    Raises:
        FormatError: none or several crystals, a field that is wrong, by name.
        CifError: a CIF that stands in the object as a text is none.
    """
    path: tuple[str | int, ...] = ()
    inner = found
    while isinstance(inner, Mapping) and not _reader_of(inner) and inner.get("structure") is not None:
        path, inner = (*path, "structure"), inner["structure"]
        if len(path) > _DEEPEST:
            raise FormatError("holds structure in structure, again and again; give the object of the crystal alone")
    if isinstance(inner, Mapping) and not _reader_of(inner) and isinstance(inner.get("cif"), str):
        return read_cif(inner["cif"])
    if isinstance(inner, str):
        return _of_text(inner)
    candidates = list(_crystals_in(inner, path))
    if not candidates:
        raise FormatError(_none_in(inner))
    if len(candidates) > 1:
        told = ", ".join(_told(where) for where, _ in candidates[:4])
        more = ", ..." if len(candidates) > 4 else ""
        raise FormatError(f"holds {len(candidates)} crystals ({told}{more}), expected one; split the file")
    ((where, one),) = candidates
    reader = _reader_of(one)
    assert reader is not None
    try:
        read = reader(one)
    except FormatError as error:
        raise FormatError(f"{_told(where)}: {error}" if where else str(error)) from error
    if [key for key in where if key not in (0, "structure", "attributes", "data")]:
        return CrystalRead(read.structure, (f"the crystal under {_told(where)} is read", *read.notes))
    return read


def _of_text(text: str) -> CrystalRead:
    """A crystal that stands in a document as text: JSON in JSON, as tables are exported, or a CIF."""
    if text.lstrip()[:1] in ("{", "["):
        refuse_long(text, _MOST_MB)
        document = _parsed(text)
        if not isinstance(document, str):
            return structure_of_object(document)
    if re.search(r"(?im)^[ \t]*data_", text):
        return read_cif(text)
    raise FormatError(f"holds the text {shown(text)}, expected an object with {_KNOWN}")


def _reader_of(found: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], CrystalRead] | None:
    return next((read for is_shape, read in _SHAPES if is_shape(found)), None)


def _crystals_in(
    found: object, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Every object of a known shape in a value, with the keys that lead there; none inside another."""
    if len(path) > _DEEPEST:
        return
    if isinstance(found, Mapping):
        if _reader_of(found):
            yield path, found
            return
        for key, value in found.items():
            yield from _crystals_in(value, (*path, str(key)))
    elif isinstance(found, list):
        for index, value in enumerate(found):
            yield from _crystals_in(value, (*path, index))


def _told(path: tuple[str | int, ...]) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")
    return text if len(text) <= 80 else f"{text[:77]}..."


def _none_in(found: object) -> str:
    if isinstance(found, Mapping):
        keys = ", ".join(str(key)[:20] for key in list(found)[:8]) or "none"
        return f"holds no crystal: its keys are {keys}; expected are {_KNOWN}"
    if isinstance(found, list):
        return f"holds a list of {len(found)} without a crystal; expected are {_KNOWN}"
    return f"holds {shown(found)} and no crystal; expected is an object with {_KNOWN}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise FormatError(f"the key {shown(twice)} stands twice in one object; leave one of them out")
    return found


def _refuse_constant(word: str) -> Any:  # noqa: ANN401
    raise FormatError(f"holds {word}, which is no number of JSON; mend the file")


def _lines_instead(text: str) -> str | None:
    """What to say of a file with an object in each line."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in lines):
        return f"holds {len(lines)} objects, one a line (JSONL), expected one crystal; split the file"
    return None
