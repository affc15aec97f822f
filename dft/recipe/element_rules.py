"""What an element demands of the recipe: k points of metals, starting moments of magnets, whether D2 knows it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from crystalloop.dft.recipe.molecules import has_open_oxygen
from crystalloop.dft.recipe.moments import kind_moments
from crystalloop.dft.recipe.pseudos import LANTHANIDES
from crystalloop.dft.recipe.settings import InputError, PwSettings

LAST_WITH_D2 = 86
"""Radon: pw.x 6.7 has no C6 beyond it and stops with `init_london (1)` (seen with Fr, Ra, Th and U)."""


def require_d2(elements: Iterable[str]) -> None:
    """Refuse elements that D2 has no parameters for.

    Raises:
        InputError: names them.
    """
    without = sorted(symbol for symbol in set(elements) if Element(symbol).Z > LAST_WITH_D2)
    if without:
        raise InputError(
            f"D2 has no parameters for {', '.join(without)} (nothing beyond Rn, Z = {LAST_WITH_D2}): "
            "set dft.settings.d2 to false, or leave the element out"
        )


def lanthanide_note(elements: Iterable[str], d2: bool) -> str | None:
    """What to know about the energies of lanthanides among the elements; None where there are none."""
    odd = sorted(set(elements) & LANTHANIDES)
    if not odd:
        return None
    note = f"{', '.join(odd)}: SSSP lanthanides keep f electrons in valence; energies differ from frozen-f data"
    if d2:
        note += ", and D2 has one C6 for all of them (Ce: -2.26 eV/atom, not physical): look at e_f_without_d2"
    return note


STARTING_MOMENTS_BOHR = {
    "V": 3.0, "Cr": 4.0, "Mn": 5.0, "Fe": 4.0, "Co": 3.0, "Ni": 2.0,
    "Ce": 1.0, "Pr": 2.0, "Nd": 3.0, "Pm": 4.0, "Sm": 5.0, "Eu": 6.0, "Gd": 7.0, "Tb": 6.0, "Dy": 5.0, "Ho": 4.0,
    "Er": 3.0, "Tm": 2.0, "Yb": 1.0,
}  # fmt: skip
"""Unpaired d or f electrons of the ions by Hund's first rule, on the high side: from a moment that is too large the SCF
comes down to the true one, from one that is too small it may fall into the unpolarised solution."""


OPEN_OXYGEN_BOHR = 1.0
"""Per atom of O2 and of superoxides: two unpaired electrons of the molecule, one of the ion."""


def for_crystal(structure: Structure, settings: PwSettings) -> PwSettings:
    """The settings that this crystal is computed with.

    Polarised where `magnetic` is auto and its sites have moments (`dft.recipe.moments`), an element calls for it, or its
    oxygen stands in pairs that are open shells. Before that, the k points of a metal where it may be one.
    By element the start is ferromagnetic: a moment that the crystal does not have vanishes within the first SCF, and the
    relaxation goes on without spin. An antiferromagnet needs moments of both signs on its sites, and a cell that holds them.
    Applied twice, the same comes out.

    Args:
        structure: ordered.
        settings: of the campaign; returned as they are where they say nspin or a moment themselves.
    """
    settings = with_metallic_k_points(structure, settings)
    if settings.magnetic == "off" or settings.nspin == 2:
        return settings
    if of_sites := kind_moments(structure):
        return settings.model_copy(update={"nspin": 2, "starting_moments": of_sites, "moment_sets": ()})
    elements = {site.specie.symbol for site in structure}
    if settings.moment_sets:
        sets = tuple(kept for moments in settings.moment_sets if (kept := _of_these(elements, moments)))
        if sets:
            return settings.model_copy(update={"nspin": 2, "starting_moments": sets[0], "moment_sets": sets})
        settings = settings.model_copy(update={"moment_sets": ()})
    moments = settings.starting_moments or STARTING_MOMENTS_BOHR
    found = _of_these(elements, moments)
    if not settings.starting_moments and has_open_oxygen(structure):
        found["O"] = OPEN_OXYGEN_BOHR
    return settings.model_copy(update={"nspin": 2, "starting_moments": found}) if found else settings


def starts(structure: Structure, settings: PwSettings) -> tuple[PwSettings, ...]:
    """The settings of each relaxation of which the one with the lowest energy counts; one, unless moment_sets are given.

    The SCF finds the solution nearest to its start: high and low spin, or parallel and antiparallel sublattices, are
    different minima, and nothing but their energies tells which is the ground state.
    """
    polarised = for_crystal(structure, settings)
    if polarised.nspin == 1 or not polarised.moment_sets:
        return (settings.model_copy(update={"moment_sets": ()}),) if settings.moment_sets else (settings,)
    return tuple(
        polarised.model_copy(update={"starting_moments": moments, "moment_sets": ()})
        for moments in polarised.moment_sets
    )


def _of_these(elements: set[str], moments: Mapping[str, float]) -> dict[str, float]:
    return {element: moments[element] for element in sorted(elements & moments.keys())}


ANIONS = frozenset(["H", "C", "N", "O", "F", "P", "S", "Cl", "As", "Se", "Br", "Te", "I", "At"])
"""Elements whose compounds mostly have a gap, or have few states at the Fermi level."""


SEMICONDUCTORS = frozenset(["B", "Si", "Ge"])
"""Elements that are no metals, beside the anions. Compounds of theirs with metals are metals more often than not."""
KSPACING_SEMICONDUCTORS_INV_ANG = 0.30
"""As their elemental references have. Si with pw.x 6.7: 0.70 is 300 meV/atom above it, 0.45 27, and it 4 above 0.20."""


def may_be_metal(structure: Structure) -> bool:
    """Whether its elements let it be a metal: not with anions, and not of semiconductors alone. What it is pw.x finds."""
    elements = {site.specie.symbol for site in structure}
    return not elements & ANIONS and not elements <= SEMICONDUCTORS


def with_metallic_k_points(structure: Structure, settings: PwSettings) -> PwSettings:
    """The settings with k points no further apart than `kspacing_metals_inv_ang` for a crystal that may be a metal.

    With a Fermi surface the energy converges slowly and back and forth: at 0.45/angstrom B2 CaMg is 43 meV/atom above
    0.16, LiMg moves by 50 between 4 and 6 points per edge, and AlNi's pressure by 2.5 kbar from 5 to 11. LiH is within 0.1
    meV/atom. Boron, silicon and germanium are no metals, and have the k points of their references. Elemental references
    have k points of their own (`dft.energies.references`). Applied twice, the same comes out.

    Args:
        structure: ordered.
        settings: of the campaign; returned as they are where they ask for no denser k points.
    """
    elements, limit = {site.specie.symbol for site in structure}, settings.kspacing_metals_inv_ang
    if limit is not None and elements <= SEMICONDUCTORS:
        limit = max(limit, KSPACING_SEMICONDUCTORS_INV_ANG)
    if limit is None or limit >= settings.kspacing_inv_ang or elements & ANIONS:
        return settings
    return settings.model_copy(update={"kspacing_inv_ang": limit})
