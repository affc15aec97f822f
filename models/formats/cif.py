"""CIF text -> the one crystal in it, or what is wrong with it: the reader for data files, base compounds and `relax` alike.

Libraries guess: `Va` is read as vanadium, an unknown space group as P1, the last crystal of several as the only one. A guess would
be learnt from or computed for hours. Here syntax and settings are gemmi's, and the judgement is cif_reader's: what the file says
twice must agree, what it does not say is refused by name, and what was rounded or chosen is a note.
"""

from __future__ import annotations

import warnings

from crystalloop.models.formats.cif_reader.refusal import CifError
from crystalloop.models.formats.crystal_read import CrystalRead

__all__ = ["CifError", "first_line", "read_cif"]


def read_cif(text: str, block: str | None = None) -> CrystalRead:
    """The one crystal of a CIF file's text, cell and setting as written; sites may still be shared or partly empty.

    Args:
        text: of the whole file.
        block: the name of the data block to read, where several hold a crystal.

    Raises:
        CifError: no CIF, none or several crystals, an impossible cell, coinciding atoms, symbols that name no element, or
            anything that the text says of its crystal and that contradicts the rest.
    """
    from crystalloop.models.formats.cif_reader.crystal import (
        crystal_of,
    )  # late: data without CIF needs no gemmi or pymatgen

    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            read = crystal_of(text, block)
    except CifError:
        raise
    except Exception as error:  # whatever libraries meet in a text of any content
        raise CifError(f"cannot be read as CIF ({first_line(error)}); mend it") from error
    # What a library says of its own future is no remark on the crystal.
    remarks = [str(one.message) for one in told if not issubclass(one.category, (DeprecationWarning, FutureWarning))]
    return CrystalRead(read.structure, read.notes + tuple(dict.fromkeys(remarks)))


def first_line(error: Exception) -> str:
    """What a parser says is wrong, short."""
    line = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {line}" if isinstance(error, KeyError) or not line else line
