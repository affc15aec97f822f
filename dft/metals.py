"""Which crystals are taken for metals, and the k points that these need. Pure; spin is in `crystalloop.dft.magnetism`."""

from __future__ import annotations

from pymatgen.core.structure import Structure

from crystalloop.dft.settings import PwSettings

ANIONS = frozenset(["H", "C", "N", "O", "F", "P", "S", "Cl", "As", "Se", "Br", "Te", "I", "At"])
"""Elements whose compounds mostly have a gap, or have few states at the Fermi level."""


def with_metallic_k_points(structure: Structure, settings: PwSettings) -> PwSettings:
    """The settings with k points no further apart than `kspacing_metals_inv_ang` for a crystal without any anion.

    With a Fermi surface the energy converges slowly and back and forth: at 0.45/angstrom B2 CaMg is 43 meV/atom above
    0.16, LiMg moves by 50 between 4 and 6 points per edge, and AlNi's pressure by 2.5 kbar from 5 to 11. LiH is within 0.1
    meV/atom. Elemental references have k points of their own (`crystalloop.dft.references`). Applied twice, the same comes out.

    Args:
        structure: ordered.
        settings: of the campaign; returned as they are where they ask for no denser k points.
    """
    elements, limit = {site.specie.symbol for site in structure}, settings.kspacing_metals_inv_ang
    if limit is None or limit >= settings.kspacing_inv_ang or elements & ANIONS:
        return settings
    return settings.model_copy(update={"kspacing_inv_ang": limit})
