"""A pw.x that answers from an equation of state, in pw.x's own words, and the pseudopotential table for it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from crystalloop.dft.pw.launch import PwRun
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.units import BOHR_ANG, KBAR_PER_EV_ANG3, RYDBERG_EV

FIXTURES = Path(__file__).parent / "fixtures" / "pw"


def cubic(spacegroup, a, species, sites) -> Structure:
    return Structure.from_spacegroup(spacegroup, Lattice.cubic(a), species, sites)


def rock_salt(a=4.2, species=("Li", "F")) -> Structure:
    return cubic("Fm-3m", a, list(species), [[0, 0, 0], [0.5, 0.5, 0.5]])


def fake_table(folder: Path, elements=("Li", "F")) -> PseudoTable:
    folder.mkdir(parents=True, exist_ok=True)
    rows = {}
    for element in elements:
        (folder / f"{element}.upf").write_text(f"<UPF {element}>")
        md5 = hashlib.md5((folder / f"{element}.upf").read_bytes()).hexdigest()
        rows[element] = {"filename": f"{element}.upf", "md5": md5, "ecutwfc": 40.0, "ecutrho": 320.0}
    (folder / "table.json").write_text(json.dumps(rows))
    return PseudoTable.load(folder)


def cell_of(input_text: str) -> np.ndarray:
    rows = input_text.split("CELL_PARAMETERS angstrom\n")[1].split("\n")[:3]
    return np.array([row.split() for row in rows], float)


class Murnaghan:
    """Launches that obey P(V) = B / 4.2 ((V0/V)**4.2 - 1), for one atom; counts itself."""

    def __init__(self, v0_ang3: float, b_kbar: float = 700.0):
        self.v0_ang3, self.b_kbar, self.launches = v0_ang3, b_kbar, []

    def __call__(self, input_text, folder, options) -> PwRun:
        cell = cell_of(input_text)
        ratio = self.v0_ang3 / abs(np.linalg.det(cell))
        self.launches.append(folder)
        return replay(folder, scf_text(input_text, -1000.0, self.b_kbar / 4.2 * (ratio**4.2 - 1)))


def replay(folder, stdout="", stderr="", returncode=0, xml=None, timed_out=False) -> PwRun:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pw.out").write_text(stdout)
    return PwRun(returncode, stdout, stderr, xml, 2.0, 2.5, timed_out, folder)


def replay_fixture(name: str, folder: Path) -> PwRun:
    source = FIXTURES / name
    expected = json.loads((source / "expected.json").read_text())
    xml = source / "pw.xml"
    return replay(
        folder,
        (source / "pw.out").read_text(),
        (source / "pw.err").read_text(),
        expected["returncode"],
        xml.read_text() if xml.exists() else None,
    )


def scf_text(input_text: str, energy_ry: float, pressure_kbar: float) -> str:
    cell = cell_of(input_text) / BOHR_ANG
    lines = input_text.split("ATOMIC_POSITIONS crystal\n")[1].split("\nK_POINTS")[0].split("\n")
    alat = 10.0
    axes = "\n".join(f"  a({i + 1}) = ({x:11.6f}{y:11.6f}{z:11.6f} )" for i, (x, y, z) in enumerate(cell / alat))
    sites = []
    for i, line in enumerate(lines):
        symbol, *frac = line.split()
        x, y, z = np.array(frac, float) @ cell / alat
        sites.append(f"   {i + 1}  {symbol}  tau( {i + 1}) = ({x:12.7f}{y:12.7f}{z:12.7f} )")
    stress = pressure_kbar / KBAR_PER_EV_ANG3 * BOHR_ANG**3 / RYDBERG_EV
    rows = "\n".join(
        "  " + " ".join(f"{stress if i == j else 0:.8f}" for j in range(3)) + "  0.00  0.00  0.00" for i in range(3)
    )
    forces = "\n".join(
        f"     atom    {i + 1} type  1   force =  0.00000000  0.00000000  0.00000000" for i in range(len(lines))
    )
    return f"""
     Program PWSCF v.6.7MaX starts on  1Jan2026
     number of atoms/cell      =  {len(lines)}
     celldm(1)=  {alat:.6f}
{axes}
{chr(10).join(sites)}
     Self-consistent Calculation
!    total energy              =   {energy_ry:.8f} Ry
     smearing contrib. (-TS)   =      -0.00200000 Ry
     Forces acting on atoms (cartesian axes, Ry/au):

{forces}

          total   stress  (Ry/bohr**3)                   (kbar)     P=  {pressure_kbar:.2f}
{rows}

     PWSCF        :      2.00s CPU      2.50s WALL
   JOB DONE.
"""
