"""Atoms and molecules in a box are told from crystals, keep their box, and start polarised where their shell may be open."""

from __future__ import annotations

import numpy as np
import pytest
from pw_fakes import cubic, fake_table, replay, rock_salt, scf_text
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from crystalloop.dft.alone.plan import make_plan
from crystalloop.dft.alone.start import begin
from crystalloop.dft.energies.ground_states import ground_state, supported_elements
from crystalloop.dft.energies.references import calculation_key
from crystalloop.dft.pw.input import pw_input_text
from crystalloop.dft.recipe.cells import primitive_cell
from crystalloop.dft.recipe.element_rules import for_crystal, may_be_metal
from crystalloop.dft.recipe.molecules import directions_filled, open_shell, unpaired
from crystalloop.dft.recipe.settings import preset
from crystalloop.dft.relax.outcome import GaveUp, Relaxed
from crystalloop.dft.relax.preflight import preflight
from crystalloop.dft.relax.relax import relax

TEST, FAST = preset("test"), preset("fast")


def boxed(*atoms, box=(5.5, 5.6, 6.2), at=(2.75, 2.8, 3.1)):
    coords = np.array([place for _, place in atoms], float) + at
    return Structure(Lattice.orthorhombic(*box), [symbol for symbol, _ in atoms], coords, coords_are_cartesian=True)


O2 = boxed(("O", (0, 0, -0.61)), ("O", (0, 0, 0.61)))
NO = boxed(("N", (0, 0, -0.58)), ("O", (0, 0, 0.58)))
OH = boxed(("O", (0, 0, 0)), ("H", (0, 0, 0.98)))
NO2 = boxed(("N", (0, 0, 0)), ("O", (1.1, 0.47, 0)), ("O", (-1.1, 0.47, 0)), box=(6.0, 6.1, 6.2))
CLO2 = boxed(("Cl", (0, 0, 0)), ("O", (1.25, 0.75, 0)), ("O", (-1.25, 0.75, 0)), box=(8.0, 7.0, 6.0))
WATER = boxed(("O", (0, 0, 0)), ("H", (0.76, 0.59, 0)), ("H", (-0.76, 0.59, 0)), box=(12, 12, 12))
METHANE = boxed(
    ("C", (0, 0, 0)), *[("H", tuple(0.63 * x for x in corner)) for corner in
    ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))], box=(8, 8, 8),
)  # fmt: skip


def kcl3(atoms_apart):
    """Potassium superoxide as a body-centred tetragonal cell, O2 along c."""
    half = atoms_apart / 2 / 6.7
    return Structure(Lattice.tetragonal(4.03, 6.7), ["K", "O", "O"] * 2,
                     [[0, 0, 0], [0, 0, 0.5 - half], [0, 0, 0.5 + half],
                      [0.5, 0.5, 0.5], [0.5, 0.5, -half], [0.5, 0.5, half]])  # fmt: skip


@pytest.mark.parametrize("molecule", [O2, NO, OH, NO2, CLO2, WATER, METHANE, ground_state("S"), ground_state("H")])
def test_a_molecule_in_a_box_is_told_from_a_crystal(molecule):
    assert directions_filled(molecule) == 0
    shifted = molecule.copy()
    shifted.translate_sites(range(len(shifted)), [0.5, 0.45, 0.5], to_unit_cell=True)  # across the faces of the box
    assert directions_filled(shifted) == 0


def test_no_crystal_is_a_molecule():
    crystals = [ground_state(element) for element in supported_elements() if element not in "HNOFS" and element != "Cl"]
    crystals += [
        rock_salt(4.2),
        rock_salt(9.0),
        kcl3(1.30),
        cubic("Pm-3m", 3.9, ["Ca", "Ti", "O"], [[0] * 3, [0.5] * 3, [0.5, 0.5, 0]]),
    ]
    crystals += [Structure(Lattice.from_parameters(28.6, 28.6, 28.6, 60, 60, 60), ["Al"], [[0, 0, 0]])]  # of nanometres
    crystals += [cubic("Pa-3", 5.65, ["N"], [[0.055] * 3])]  # alpha nitrogen
    crystals += [rock_salt(edge, pair) for edge, pair in ((7.07, ["K", "I"]), (7.0, ("Ba", "Te")), (7.34, ("Rb", "I")))]
    crystals += [cubic("Im-3m", 5.9, ["S", "F"], [[0] * 3, [0.264, 0, 0]])]  # sulfur hexafluoride, one molecule a cell
    crystals += [primitive_cell(crystal) for crystal in crystals]
    assert {directions_filled(crystal) for crystal in crystals} <= {2, 3, None}


def test_slabs_and_chains_are_told():
    slab = Structure(Lattice.tetragonal(2.9, 20), ["Al", "Al"], [[0, 0, 0.45], [0.5, 0.5, 0.55]])
    chain = Structure(Lattice.orthorhombic(2.6, 15, 15), ["C", "C"], [[0, 0.5, 0.5], [0.5, 0.5, 0.5]])
    assert (directions_filled(slab), directions_filled(chain)) == (2, 1)
    for cell, word in ((slab, "a slab."), (chain, "a chain.")):
        from_ = begin(cell, TEST)
        assert from_.settings.vary == "cell" and from_.notes == ()
        assert any(word in note for note in plan_of(cell).notes)


def plan_of(structure, settings=TEST, folder="x"):
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as made:
        return make_plan(begin(structure, settings), fake_table(Path(made), sorted(structure.symbol_set)), Path(folder))


@pytest.mark.parametrize(
    ("symbol", "spins"),
    list({"H": 1, "He": 0, "C": 2, "N": 3, "O": 2, "F": 1, "Cr": 6, "Cu": 1, "Fe": 4, "Eu": 7}.items()),
)
def test_free_atoms_have_the_spins_of_hunds_first_rule(symbol, spins):
    assert unpaired(symbol) == spins


@pytest.mark.parametrize(
    ("molecule", "moments", "why"),
    [
        (O2, {"O": 1.0}, "pairs as near as in O2"),
        (NO, {"N": 1.0, "O": 1.0}, "odd number of electrons"),
        (OH, {"O": 1.0, "H": 1.0}, "odd number of electrons"),
        (NO2, {"N": 1.0, "O": 1.0}, "odd number of electrons"),
        (CLO2, {"Cl": 1.0, "O": 1.0}, "odd number of electrons"),
        (boxed(("H", (0, 0, 0))), {"H": 1.0}, "free atom of H has 1 unpaired"),
        (boxed(("N", (0, 0, 0))), {"N": 3.0}, "free atom of N has 3 unpaired"),
        (boxed(("O", (0, 0, 0))), {"O": 2.0}, "free atom of O has 2 unpaired"),
        (boxed(("S", (0, 0, -0.95)), ("O", (0, 0, 0.5))), {"O": 1.0, "S": 1.0}, "may have unpaired"),
        (kcl3(1.30), {"O": 1.0}, "pairs as near as in O2"),
        (rock_salt(4.2, ("Ni", "O")), {"Ni": 2.0}, "Ni may be magnetic"),
    ],
)  # fmt: skip
def test_open_shells_start_polarised_and_the_plan_says_why(molecule, moments, why):
    plan = plan_of(molecule)
    assert plan.starting_moments == moments
    assert why in next(line for line in plan.lines() if "spin-polarised" in line)


def test_closed_shells_start_without_spin_and_the_plan_says_so():
    for closed in (METHANE, boxed(("Be", (0, 0, 0)))):
        assert any("without spin:" in note for note in plan_of(closed).notes)
        assert plan_of(closed).starting_moments == {}
    assert open_shell(METHANE)[0] == {} and for_crystal(kcl3(1.49), TEST).nspin == 1  # a peroxide's distance
    odd = Structure(Lattice.cubic(5.0), ["Cu", "Cl", "Cl"], [[0, 0, 0], [0.45, 0, 0], [0, 0.45, 0]])
    assert any("odd number of electrons" in note for note in plan_of(odd).notes)
    assert not any("odd number" in note for note in plan_of(rock_salt()).notes)


def test_only_crystals_with_open_oxygen_have_other_keys(tmp_path):
    table = fake_table(tmp_path, ("K", "O", "Li", "F"))
    off = TEST.model_copy(update={"magnetic": "off"})
    assert calculation_key(kcl3(1.30), TEST, table) != calculation_key(kcl3(1.30), off, table)
    assert calculation_key(kcl3(1.49), TEST, table) == calculation_key(kcl3(1.49), off, table)


def test_a_molecule_keeps_its_box_and_is_computed_at_gamma(tmp_path):
    start = begin(O2, FAST)
    assert (start.settings.vary, start.settings.gamma_only, start.in_box) == ("atoms", True, True)
    text = pw_input_text(O2, for_crystal(start.structure, start.settings), fake_table(tmp_path, ("O",)), "relax")
    assert "'relax'" in text and "K_POINTS gamma" in text and "&CELL" not in text and "nspin = 2" in text
    plan = plan_of(O2)
    assert (plan.method, plan.k_mesh, plan.k_points, plan.atoms) == ("atoms", (1, 1, 1), 1, 2)
    assert any("the box is kept" in note for note in plan.notes)
    insisted = begin(O2, TEST.model_copy(update={"method": "vc-relax"}))
    assert insisted.settings.vary == "cell" and "--method vc-relax" in insisted.notes[0]
    scaled = begin(WATER, TEST.model_copy(update={"start_volume": "radii", "method": "eos"}))
    assert {"radii", "equation of state"} <= {
        word for word in ("radii", "equation of state") if word in " ".join(scaled.notes)
    }
    assert scaled.settings.start_volume == "given"


class Asked:
    """Answers at once with a pressure that no crystal would be left with; keeps inputs."""

    def __init__(self):
        self.inputs = []

    def __call__(self, text, folder, options):
        self.inputs.append(text)
        return replay(folder, scf_text(text, -60.0, 50.0))


def test_the_pressure_of_a_box_is_no_reason_to_go_on(tmp_path):
    start, run = begin(WATER, TEST), Asked()
    found = relax(start.structure, start.settings, fake_table(tmp_path / "upf", ("H", "O")), tmp_path / "run", run=run)
    assert isinstance(found, Relaxed) and len(run.inputs) == 1 and "'relax'" in run.inputs[0]
    assert found.structure.volume == pytest.approx(12.0**3) and found.conventional.lattice.abc == pytest.approx(
        [12.0] * 3
    )


def test_an_atom_is_one_scf_in_a_box_of_any_size(tmp_path):
    atom, run = boxed(("N", (0, 0, 0)), box=(14, 14, 14)), Asked()
    start = begin(atom, TEST)
    table = fake_table(tmp_path / "upf", ("N",))
    found = relax(start.structure, start.settings, table, tmp_path / "run", run=run)
    assert isinstance(found, Relaxed) and "'scf'" in run.inputs[0] and "K_POINTS gamma" in run.inputs[0]
    assert preflight(atom) is not None and preflight(atom, in_box=True) is None
    given_up = relax(rock_salt(9.0), TEST, fake_table(tmp_path / "upf2"), tmp_path / "salt", run=run)
    assert isinstance(given_up, GaveUp)  # a crystal of the wrong size is no molecule


def test_silicon_is_no_metal():
    silicon, table_free = ground_state("Si"), FAST
    assert not may_be_metal(silicon) and may_be_metal(ground_state("Al")) and may_be_metal(ground_state("Mg"))
    assert for_crystal(silicon, table_free).kspacing_inv_ang == 0.30  # as its reference has
    assert for_crystal(ground_state("Al"), FAST).kspacing_inv_ang == 0.20
    assert not any("metal" in note for note in plan_of(silicon).notes)
    assert any("if this is a metal" in note for note in plan_of(ground_state("Mg")).notes)


@pytest.mark.pw
def test_oxygen_is_a_triplet_with_the_real_pw(tmp_path, pw_command, pseudo_folder):
    from crystalloop.dft.recipe.pseudos import PseudoTable

    start = begin(O2, TEST)
    found = relax(start.structure, start.settings, PseudoTable.load(pseudo_folder), tmp_path, command=pw_command)
    assert isinstance(found, Relaxed), found
    assert found.magnetization_bohr == pytest.approx(2.0, abs=0.01)
    assert found.energy_per_atom_ev == pytest.approx(-564.94, abs=0.01)
