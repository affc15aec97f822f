"""Which crystals start spin-polarised, and from which moments. Pure; what a run ended with is in `crystalloop.dft.pw_output`."""

from __future__ import annotations

from collections.abc import Mapping

from pymatgen.core.structure import Structure

from crystalloop.dft.metals import with_metallic_k_points
from crystalloop.dft.settings import PwSettings

STARTING_MOMENTS_BOHR = {
    "V": 3.0, "Cr": 4.0, "Mn": 5.0, "Fe": 4.0, "Co": 3.0, "Ni": 2.0,
    "Ce": 1.0, "Pr": 2.0, "Nd": 3.0, "Pm": 4.0, "Sm": 5.0, "Eu": 6.0, "Gd": 7.0, "Tb": 6.0, "Dy": 5.0, "Ho": 4.0,
    "Er": 3.0, "Tm": 2.0, "Yb": 1.0,
}  # fmt: skip
"""Unpaired d or f electrons of the ions by Hund's first rule, on the high side: from a moment that is too large the SCF
comes down to the true one, from one that is too small it may fall into the unpolarised solution."""


def for_crystal(structure: Structure, settings: PwSettings) -> PwSettings:
    """The settings that this crystal is computed with: polarised where `magnetic` is auto and an element calls for it.

    Before that, the k points of a metal where it is one (`crystalloop.dft.metals`).
    A ferromagnetic start: a moment that the crystal does not have vanishes within the first SCF, and the relaxation goes
    on without spin. An antiferromagnet needs starting moments of both signs on request, and a cell that holds them.
    Applied twice, the same comes out.

    Args:
        structure: ordered.
        settings: of the campaign; returned as they are where they say nspin or a moment themselves.
    """
    settings = with_metallic_k_points(structure, settings)
    if settings.magnetic == "off" or settings.nspin == 2:
        return settings
    elements = {site.specie.symbol for site in structure}
    if settings.moment_sets:
        sets = tuple(kept for moments in settings.moment_sets if (kept := _of_these(elements, moments)))
        if sets:
            return settings.model_copy(update={"nspin": 2, "starting_moments": sets[0], "moment_sets": sets})
        settings = settings.model_copy(update={"moment_sets": ()})
    moments = settings.starting_moments or STARTING_MOMENTS_BOHR
    found = _of_these(elements, moments)
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
