"""What reading one crystal gives: the structure and what its user should hear, or the reason why there is none. No parser here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


class FormatError(ValueError):
    """A text or an object does not hold the one crystal that was asked for; the message says why, and not in which file."""


MOST_ATOMS = 2_000
"""Of a crystal that is read: no larger one is trained on or computed here, and every pair of its atoms is looked at."""


@dataclass(frozen=True)
class CrystalRead:
    """A crystal from a text, and remarks on how it was read.

    Attributes:
        structure: as the text says; moments that it gives (Bohr magnetons) are the site property "magmom".
        notes: sentences for the user, without the file's name: what was rounded, chosen or not used.
    """

    structure: Structure
    notes: tuple[str, ...] = field(default=())
