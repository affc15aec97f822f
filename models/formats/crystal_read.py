"""What reading one crystal gives: the structure, and what the reader did to it that its user should hear. No parser here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


@dataclass(frozen=True)
class CrystalRead:
    """A crystal from a text, and remarks on how it was read.

    Attributes:
        structure: as the text says; moments that it gives (Bohr magnetons) are the site property "magmom".
        notes: sentences for the user, without the file's name: what was rounded, chosen or not used.
    """

    structure: Structure
    notes: tuple[str, ...] = field(default=())
