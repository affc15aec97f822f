"""What a relaxation of one file begins with: its moments, and whether it is a crystal or stands in a box. Starts no pw.x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pymatgen.core.structure import Structure

from crystalloop.dft.recipe.element_rules import STARTING_MOMENTS_BOHR, for_crystal
from crystalloop.dft.recipe.molecules import directions_filled, open_shell
from crystalloop.dft.recipe.moments import MOMENT, as_start, raised, site_moments, without_moments
from crystalloop.dft.recipe.settings import PwSettings


@dataclass(frozen=True)
class Start:
    """A crystal and its settings, and why they are not simply those that were given."""

    structure: Structure
    settings: PwSettings
    notes: tuple[str, ...] = ()
    why_spin: str = ""  # empty where it starts without

    @property
    def in_box(self) -> bool:
        """Whether it is an atom or a molecule, whose cell is kept."""
        return self.settings.vary == "atoms"


def begin(structure: Structure, settings: PwSettings) -> Start:
    """How `crystalloop relax` begins.

    Moments of the file count unless moments or no spin were asked for. An atom or a molecule in a box is computed at the
    Gamma point in the box as it is, polarised where its shell may be open; vc-relax on request relaxes the box all the same.

    Args:
        structure: as read; moments may be its site property `magmom`.
        settings: as asked for.

    Raises:
        InputError: a moment that is none.
    """
    begun, notes = _with_moments(structure, settings)
    if directions_filled(begun) != 0:
        return Start(begun, settings, notes, _why_spin(begun, settings))
    if settings.method == "vc-relax":
        why = "an atom or a molecule in a box, which is relaxed too since --method vc-relax asks for it"
        return Start(begun, settings, (*notes, why), _why_spin(begun, settings))
    boxed, said = _in_box(begun, settings)
    given = _why_spin(begun, boxed)
    if given or boxed.magnetic == "off":
        return Start(begun, boxed, (*notes, *said), given)
    moments, why = open_shell(begun)
    if not moments:
        return Start(begun, boxed, (*notes, *said, f"without spin: {why}"))
    return Start(begun, boxed.model_copy(update={"starting_moments": moments}), (*notes, *said), why)


def _why_spin(structure: Structure, settings: PwSettings) -> str:
    """Why it starts polarised; empty where it does not."""
    polarised = for_crystal(structure, settings)
    if polarised.nspin == 1:
        return ""
    if site_moments(structure):
        return "the moments of the file"
    if settings.starting_moments or settings.moment_sets:
        return "as asked for"
    magnets = sorted(set(structure.symbol_set) & STARTING_MOMENTS_BOHR.keys())
    if magnets:
        return f"{', '.join(magnets)} may be magnetic; by element, so ferromagnetic"
    return "oxygen stands in pairs as near as in O2 and in superoxides, which have unpaired electrons"


def _with_moments(structure: Structure, settings: PwSettings) -> tuple[Structure, tuple[str, ...]]:
    if structure.site_properties.get(MOMENT) is None:
        return without_moments(structure), ()
    if settings.starting_moments or settings.moment_sets:
        return without_moments(structure), ("moments of the file are not used: --moments gives others",)
    if settings.magnetic == "off":
        return without_moments(structure), ("moments of the file are not used: --no-spin",)
    begun, notes = as_start(structure)
    if not site_moments(begun):
        return begun, notes
    begun, scaled = raised(begun, STARTING_MOMENTS_BOHR)
    return begun, (*notes, *scaled)


def _in_box(structure: Structure, settings: PwSettings) -> tuple[PwSettings, tuple[str, ...]]:
    what = "an atom" if len(structure) == 1 else "a molecule"
    kept = "nothing moves" if len(structure) == 1 else "the atoms move"
    notes = [
        f"{what} in a box, with more than 3.5 angstrom to its images: the Gamma point alone, the box is kept and {kept} "
        "(--method vc-relax relaxes the box, too); pressure and stress mean nothing here"
    ]
    changes: dict[str, Any] = {"vary": "atoms", "gamma_only": True, "cheap_first": False, "k_mesh": None}
    if settings.method == "eos":
        notes.append("no equation of state of what is no crystal")
    if settings.start_volume == "radii":
        notes.append("--start-volume radii is not used: a box has no volume of its own")
    boxed = settings.model_copy(update={**changes, "method": "auto", "start_volume": "given"})
    return boxed, tuple(notes)
