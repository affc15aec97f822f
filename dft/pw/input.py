"""pw.x input text from a structure. Pure: no files, no processes, and the structure is taken as it is."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

import numpy as np
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure

from crystalloop.dft.recipe.moments import kinds, symbol_of
from crystalloop.dft.recipe.pseudos import PseudoTable, PwEnvironmentError
from crystalloop.dft.recipe.settings import InputError, PwSettings

PREFIX = "pw"
OUTDIR = "out"
_MAX_SECONDS = re.compile(r"^( *max_seconds *= *)(\d+) *$", re.MULTILINE)
Value = str | bool | int | float
POLARISED_CONV_THR = 1e-12
"""Ry/atom, where a cell with moments is relaxed. The energy of a ferromagnet is settled long before its stress: with 1e-8
the pressure of Ni comes out 1.0 kbar too low with pw.x 6.7 and 1.4 too high with 7.2, with 1e-13 both say 74.6, for 15 to 17
iterations in place of 13."""


class UnreadablePath(PwEnvironmentError):
    """A path that cannot be written into a namelist. Nothing is wrong with the crystal."""


def pw_input_text(
    structure: Structure,
    settings: PwSettings,
    table: PseudoTable,
    calculation: Literal["vc-relax", "relax", "scf", "nscf"] = "vc-relax",
    pseudo_dir: str | None = None,
) -> str:
    """The input file of one launch.

    Occupations are always smeared: with fixed ones pw.x computes a metal without a word of warning.

    Args:
        structure: the cell that pw.x gets; pass the symmetrised primitive one, pw.x is 7 times slower otherwise.
        settings: thresholds per atom are multiplied out here.
        table: file names and cutoffs.
        calculation: vc-relax writes the IONS and CELL namelists; nscf finds states at the density of an scf.
        pseudo_dir: as pw.x shall see it; by default the absolute path of the table's folder.

    Raises:
        InputError: a cutoff below the table's.
        UnreadablePath: a path that Fortran namelists cannot hold.
        MissingPseudo: an element is not in the table.
    """
    species = labels_of(structure, settings)
    folder = pseudo_dir if pseudo_dir is not None else str(table.folder.resolve())
    if "'" in folder or not folder.isprintable() or len(folder.encode(errors="replace")) > 200:
        raise UnreadablePath(
            f"pw.x cannot read the path {folder!r} of the pseudopotentials: over 200 bytes, a quote or a control "
            "character; move the folder"
        )
    namelists: dict[str, dict[str, Value]] = {
        "CONTROL": _control(settings, calculation, folder),
        "SYSTEM": _system(structure, tuple(dict.fromkeys(species)), settings, table),
        "ELECTRONS": _electrons(structure, settings),
    }
    if calculation in ("relax", "vc-relax"):
        namelists["IONS"] = _ions(settings)
    if calculation == "vc-relax":
        namelists["CELL"] = _cell(settings)
    cards = [
        _species_card(tuple(dict.fromkeys(species)), table),
        _cell_card(structure),
        _positions_card(structure, species),
        _k_points_card(structure, settings),
    ]
    return "\n".join([*(_namelist(name, values) for name, values in namelists.items()), *cards]) + "\n"


def restarting(input_text: str) -> str:
    """The same input, to go on from the files that a stopped launch left in its outdir."""
    return input_text.replace("&CONTROL\n", "&CONTROL\n  restart_mode = 'restart'\n", 1)


def with_time_limit(input_text: str, seconds: int) -> str:
    """The same input with its max_seconds lowered to what is left of a worker's time; never raised."""
    return _MAX_SECONDS.sub(lambda found: f"{found[1]}{min(int(found[2]), seconds)}", input_text, count=1)


def time_limit(input_text: str) -> int | None:
    """The max_seconds of an input."""
    found = _MAX_SECONDS.search(input_text)
    return None if found is None else int(found[2])


def without_time_limit(input_text: str) -> str:
    """What an input asks for, whatever time it was given: two launches with equal texts compute the same."""
    return _MAX_SECONDS.sub("", input_text)


def species_of(structure: Structure) -> tuple[str, ...]:
    """Element symbols in order of first appearance."""
    return tuple(dict.fromkeys(site.specie.symbol for site in structure))


def labels_of(structure: Structure, settings: PwSettings) -> tuple[str, ...]:
    """The species of each site: elements, and numbered ones where sites of an element start from different moments."""
    return kinds(structure) if settings.nspin == 2 else tuple(site.specie.symbol for site in structure)


def k_mesh(structure: Structure, kspacing_inv_ang: float) -> tuple[int, int, int]:
    """Gamma-centred mesh with points no further apart than `kspacing_inv_ang` (with the factor 2 pi)."""
    lengths = structure.lattice.reciprocal_lattice.abc  # 1/angstrom, with 2 pi
    first, second, third = (max(1, math.ceil(length / kspacing_inv_ang - 1e-6)) for length in lengths)
    return first, second, third


def cutoffs_ry(elements: tuple[str, ...], settings: PwSettings, table: PseudoTable) -> tuple[float, float]:
    """Wave-function and density cutoff: the largest of the elements unless the settings ask for more.

    Raises:
        InputError: the settings ask for less, which gives wrong pressures without any message
            (NiAl at 0.8 x the table's cutoff ended at -105 kbar).
    """
    hint_wfc = max(table[element].ecutwfc_ry for element in elements)
    hint_rho = max(table[element].ecutrho_ry for element in elements)
    wfc = settings.ecutwfc_ry or hint_wfc
    rho = settings.ecutrho_ry or max(hint_rho, 4 * wfc)
    if wfc < hint_wfc or rho < hint_rho:
        raise InputError(
            f"cutoffs {wfc:g}/{rho:g} Ry are below those of the pseudopotentials of {'-'.join(elements)}, "
            f"{hint_wfc:g}/{hint_rho:g} Ry; leave ecutwfc_ry and ecutrho_ry out, or raise them"
        )
    return wfc, rho


def _control(settings: PwSettings, calculation: str, folder: str) -> dict[str, Value]:
    return {
        "calculation": calculation,
        "prefix": PREFIX,
        "outdir": f"./{OUTDIR}",
        "pseudo_dir": folder,
        "disk_io": "low",
        "tstress": calculation != "nscf",
        "tprnfor": calculation != "nscf",
        "etot_conv_thr": settings.etot_conv_thr_ry,
        "forc_conv_thr": settings.forc_conv_thr_ry_bohr,
        "nstep": settings.nstep,
        "max_seconds": settings.max_seconds,
    }


def _system(
    structure: Structure, species: tuple[str, ...], settings: PwSettings, table: PseudoTable
) -> dict[str, Value]:
    wfc, rho = cutoffs_ry(species_of(structure), settings, table)
    system: dict[str, Value] = {
        "ibrav": 0,
        "nat": len(structure),
        "ntyp": len(species),
        "ecutwfc": wfc,
        "ecutrho": rho,
        "occupations": "smearing",
        "smearing": settings.smearing,
        "degauss": settings.degauss_ry,
    }
    if settings.nspin == 2:
        system["nspin"] = 2
        system |= _starting_magnetizations(species, settings, table)
    if settings.tot_magnetization is not None:
        system["tot_magnetization"] = settings.tot_magnetization
    if settings.extra_bands:
        system["nbnd"] = _bands(structure, settings, table)
    if settings.d2:
        system["vdw_corr"] = "grimme-d2"
    if settings.nosym:
        system["nosym"] = True
    return system


def _starting_magnetizations(species: tuple[str, ...], settings: PwSettings, table: PseudoTable) -> dict[str, Value]:
    """pw.x wants the share of an atom's valence electrons that is unpaired, between -1 and 1."""
    moments = settings.starting_moments
    if not moments:
        return {f"starting_magnetization({i})": settings.starting_magnetization for i in range(1, len(species) + 1)}
    elements = [symbol_of(kind) for kind in species]
    shares = [
        moments.get(kind, moments.get(element, 0.0)) / table.valence(element)
        for kind, element in zip(species, elements, strict=True)
    ]
    return {f"starting_magnetization({i})": max(-1.0, min(1.0, share)) for i, share in enumerate(shares, start=1)}


def _bands(structure: Structure, settings: PwSettings, table: PseudoTable) -> int:
    """Those that pw.x takes for a metal, and a share more."""
    occupied = sum(table.valence(site.specie.symbol) for site in structure) / 2
    return math.ceil(max(1.2 * occupied, occupied + 4) * (1 + settings.extra_bands))


def _electrons(structure: Structure, settings: PwSettings) -> dict[str, Value]:
    conv_thr = settings.conv_thr_ry_per_atom
    if settings.nspin == 2 and settings.vary == "cell":
        conv_thr = min(conv_thr, POLARISED_CONV_THR)
    return {
        "conv_thr": conv_thr * len(structure),
        "electron_maxstep": settings.electron_maxstep,
        "mixing_beta": settings.mixing_beta,
        "mixing_mode": settings.mixing_mode,
        "diagonalization": settings.diagonalization,
    }


def _ions(settings: PwSettings) -> dict[str, Value]:
    ions: dict[str, Value] = {"ion_dynamics": "damp" if settings.damped else "bfgs"}
    # After a step of the cell the extrapolated density starts further off than the old one, scaled:
    # measured on LiF, 20 SCF iterations per step against 11.
    ions["pot_extrapolation"] = "none"
    if not settings.damped:
        ions |= {
            "upscale": 10.0,
            "trust_radius_min": settings.trust_radius_min_bohr,
            "trust_radius_ini": settings.trust_radius_ini_bohr,
        }
    return ions


def _cell(settings: PwSettings) -> dict[str, Value]:
    return {
        "cell_dynamics": "damp-pr" if settings.damped else "bfgs",
        "press": 0.0,
        "press_conv_thr": settings.press_conv_thr_kbar,
        "cell_factor": settings.cell_factor,
        # The forces of the cell are symmetrised, so a symmetric cell keeps its symmetry with all of it free.
        "cell_dofree": "all",
    }


def _namelist(name: str, values: Mapping[str, Value]) -> str:
    lines = "\n".join(f"  {key} = {_fortran(value)}" for key, value in values.items())
    return f"&{name}\n{lines}\n/"


def _fortran(value: Value) -> str:
    if isinstance(value, bool):
        return ".true." if value else ".false."
    if isinstance(value, str):
        return f"'{value}'"
    return f"{value:d}" if isinstance(value, int) else f"{value:.10g}"


def _species_card(species: tuple[str, ...], table: PseudoTable) -> str:
    elements = {kind: symbol_of(kind) for kind in species}
    lines = [f"  {kind} {float(Element(el).atomic_mass):.4f} {table[el].filename}" for kind, el in elements.items()]
    return "\n".join(["ATOMIC_SPECIES", *lines])


def _cell_card(structure: Structure) -> str:
    # Many digits: noise of 3e-4 cuts the 48 symmetry operations of rock salt to 2.
    rows = [" ".join(f"{x:18.12f}" for x in row) for row in np.asarray(structure.lattice.matrix) + 0.0]
    return "\n".join(["CELL_PARAMETERS angstrom", *rows])


def _positions_card(structure: Structure, species: tuple[str, ...]) -> str:
    rows = [
        f"  {kind:2s} " + " ".join(f"{x:16.12f}" for x in site.frac_coords)
        for kind, site in zip(species, structure, strict=True)
    ]
    return "\n".join(["ATOMIC_POSITIONS crystal", *rows])


def _k_points_card(structure: Structure, settings: PwSettings) -> str:
    if settings.gamma_only:
        return "K_POINTS gamma"
    mesh = settings.k_mesh or k_mesh(structure, settings.kspacing_inv_ang)
    return "K_POINTS automatic\n  " + " ".join(map(str, mesh)) + " 0 0 0"
