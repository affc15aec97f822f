"""Moments of a file's sites become species of pw.x, and the cell that holds their order is kept through a relaxation."""

from __future__ import annotations

import numpy as np
import pytest
from pw_fakes import cell_of, cubic, fake_table, replay, rock_salt, scf_text
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from crystalloop.dft.alone.folder import digest_of
from crystalloop.dft.alone.start import begin
from crystalloop.dft.energies.references import calculation_key
from crystalloop.dft.pw.input import pw_input_text
from crystalloop.dft.pw.output import parse_pw_output
from crystalloop.dft.recipe.cells import only_volume_is_free, primitive_cell, spacegroup_number
from crystalloop.dft.recipe.element_rules import for_crystal
from crystalloop.dft.recipe.moments import (
    MOST_KINDS,
    as_start,
    kind_moments,
    kinds,
    site_moments,
    with_moments,
    without_moments,
)
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import InputError, preset
from crystalloop.dft.relax.outcome import Relaxed
from crystalloop.dft.relax.relax import relax, resume_point

TEST = preset("test")
CR = Structure(Lattice.cubic(2.87), ["Cr", "Cr"], [[0, 0, 0], [0.5] * 3], site_properties={"magmom": [3, -3]})
FE = Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [[0, 0, 0], [0.5] * 3], site_properties={"magmom": [2.2, 2.2]})
NIO_CELL = np.array([[2, 1, 1], [1, 2, 1], [1, 1, 2]]) * 4.19 / 2


def nio(moments=(2, -2, 0, 0)):
    places = [[0.0] * 3, [0.5] * 3, [0.25] * 3, [0.75] * 3]
    return Structure(NIO_CELL, ["Ni", "Ni", "O", "O"], places, site_properties={"magmom": list(moments)})


SPIN = """     total magnetization       =     0.00 Bohr mag/cell
     absolute magnetization    =     {:.2f} Bohr mag/cell
     Magnetic moment per site:
     atom:    1    charge:   11.0000    magn:    1.5000    constr:    0.0000
     atom:    2    charge:   11.0000    magn:   -1.5000    constr:    0.0000
"""


class Ordered:
    """Pressure falls with the volume; the labels of the input come back as pw.x prints them. Keeps inputs."""

    def __init__(self, v0, absolute=3.0):
        self.v0, self.absolute, self.inputs = v0, absolute, []

    def __call__(self, text, folder, options):
        self.inputs.append(text)
        stdout = scf_text(text, -100.0, 1500 * (self.v0 / abs(np.linalg.det(cell_of(text))) - 1))
        return replay(folder, SPIN.format(self.absolute) + stdout if "nspin = 2" in text else stdout)


def test_an_antiferromagnetic_cell_is_not_folded():
    start, notes = as_start(CR)
    assert notes == () and kinds(start) == ("Cr1", "Cr2") and kind_moments(start) == {"Cr1": 3.0, "Cr2": -3.0}
    cell = primitive_cell(start)
    assert len(cell) == 2 and site_moments(cell) == (3.0, -3.0)
    assert spacegroup_number(cell) == 221 and only_volume_is_free(cell)
    assert len(primitive_cell(as_start(FE)[0])) == 1
    two_cells = primitive_cell(as_start(CR)[0] * [2, 1, 1])
    assert len(two_cells) == 2 and sorted(site_moments(two_cells)) == [-3.0, 3.0]


def test_nickel_oxide_keeps_the_order_that_halves_its_cubic_cell():
    cell = primitive_cell(as_start(nio())[0])
    assert len(cell) == 4 and spacegroup_number(cell) == 166
    assert sorted(zip(kinds(cell), site_moments(cell), strict=True)) == [
        ("Ni1", 2.0), ("Ni2", -2.0), ("O", 0.0), ("O", 0.0),
    ]  # fmt: skip
    assert len(primitive_cell(as_start(nio((2, 2, 0, 0)))[0])) == 2


def test_sites_of_both_signs_are_species_of_one_pseudopotential(tmp_path):
    table = fake_table(tmp_path, ("Ni", "O"))
    cell = primitive_cell(as_start(nio())[0])
    settings = for_crystal(cell, TEST)
    assert settings.nspin == 2 and settings.starting_moments == {"Ni1": 2.0, "Ni2": -2.0, "O": 0.0}
    assert for_crystal(cell, settings) == settings
    text = pw_input_text(cell, settings, table)
    assert "ntyp = 3" in text and text.count("Ni.upf") == 2 and "  Ni1 58.69" in text and "  O  " in text
    shares = [float(line.split("=")[1]) for line in text.splitlines() if "starting_magnetization" in line]
    assert shares == [0.25, -0.25, 0.0]  # of 8 valence electrons where the file does not say
    without = pw_input_text(cell, TEST, table)
    assert "Ni1" not in without and "ntyp = 2" in without


def test_the_order_comes_back_from_what_pw_prints(tmp_path):
    table, run = fake_table(tmp_path / "upf", ("Cr",)), Ordered(v0=23.0)
    start = as_start(CR)[0]
    found = relax(start, TEST, table, tmp_path / "run", run=run)
    assert isinstance(found, Relaxed) and len(run.inputs) > 1
    assert all("Cr1" in text and "Cr2" in text for text in run.inputs)
    assert len(found.structure) == 2 and sorted(site_moments(found.structure)) == [-3.0, 3.0]
    assert found.moments_bohr == (1.5, -1.5) and found.magnetization_bohr == 0.0 and found.is_magnetic
    assert len(found.conventional) == 2 and found.structure.symbol_set == ("Cr",)


def test_an_equation_of_state_and_a_restart_keep_the_order(tmp_path):
    table, run = fake_table(tmp_path / "upf", ("Cr",)), Ordered(v0=23.0)
    start = as_start(CR)[0]
    relax(start, TEST.model_copy(update={"method": "eos"}), table, tmp_path / "run", run=run)
    assert len(run.inputs) >= 5 and all("Cr2" in text for text in run.inputs)
    again = Ordered(v0=23.0)
    at = resume_point(tmp_path / "run")
    found = relax(start, TEST, table, tmp_path / "more", run=again, start=at)
    assert isinstance(found, Relaxed) and all("Cr2" in text for text in again.inputs)


def test_moments_that_vanish_are_followed_by_the_smaller_cell_without_spin(tmp_path):
    table, run = fake_table(tmp_path / "upf", ("Cr",)), Ordered(v0=20.0, absolute=0.0)
    found = relax(as_start(CR)[0], TEST, table, tmp_path / "run", run=run)
    assert isinstance(found, Relaxed) and "nat = 2" in run.inputs[0] and "nat = 1" in run.inputs[-1]
    assert "nspin" not in run.inputs[-1] and "Cr1" not in run.inputs[-1] and not found.is_magnetic


def test_labels_of_species_are_read_as_their_elements():
    text = scf_text(pw_input_text_of(nio()), -100.0, 0.0)
    found = parse_pw_output(None, text, "", 0).last_structure
    assert [site.specie.symbol for site in found] == ["Ni", "Ni", "O", "O"]
    assert found.site_properties["kind"] == ["Ni1", "Ni2", "O", "O"]
    plain = parse_pw_output(None, text.replace("Ni1", "Ni ").replace("Ni2", "Ni "), "", 0).last_structure
    assert plain.site_properties == {}


def pw_input_text_of(structure):
    rows = "\n".join(
        f"  {kind} " + " ".join(map(str, site.frac_coords))
        for kind, site in zip(kinds(structure), structure, strict=True)
    )
    cell = "\n".join(" ".join(map(str, row)) for row in structure.lattice.matrix)
    return f"CELL_PARAMETERS angstrom\n{cell}\nATOMIC_POSITIONS crystal\n{rows}\nK_POINTS automatic\n"


def test_moments_of_a_database_that_differ_in_the_third_digit_are_one_species():
    start, notes = as_start(nio((1.687, -1.689, 0.004, -0.003)))
    assert kind_moments(start) == {"Ni1": 1.69, "Ni2": -1.69, "O": 0.0} and notes == ()
    many = rock_salt(4.2, ("Fe", "O")) * [2, 1, 1]
    rough = [1.0 + 0.05 * i for i in range(len(many))]
    start, notes = as_start(with_moments(many, rough))
    assert len(set(kinds(start))) <= MOST_KINDS and set(kinds(start)) == {"Fe", "O"}
    far = [round((-1) ** i * (1 + 0.7 * i), 2) for i in range(len(many))]
    start, notes = as_start(with_moments(many, far))
    assert len(set(kinds(start))) <= MOST_KINDS and "begin as one" in notes[0]


@pytest.mark.parametrize(
    ("given", "expected", "said"),
    [
        ([[0, 0, 2], [0, 0, -2], [0, 0, 0], [0, 0, 0]], {"Ni1": 2.0, "Ni2": -2.0, "O": 0.0}, ""),
        ([[1, 1, 0], [-1, -1, 0], None, None], {"Ni1": 1.41, "Ni2": -1.41, "O": 0.0}, ""),
        ([[0, 0, 2], [0, 2, 0], [0, 0, 0], [0, 0, 0]], {}, "not collinear"),
        ([0.0, 0.0, 0.0, 0.0], {}, "are 0"),
        ([0.01, -0.02, 0.0, 0.0], {}, "are 0"),
        ([None, None, None, None], {}, ""),
        ([None, -2, 2, 0], {"Ni1": 0.0, "Ni2": -2.0, "O1": 2.0, "O2": 0.0}, ""),
    ],
)
def test_vectors_gaps_and_zeros(given, expected, said):
    structure = nio()
    structure.add_site_property("magmom", given)
    start, notes = as_start(structure)
    assert kind_moments(start) == expected and said in " ".join(notes)
    assert ("magmom" in start.site_properties) == bool(expected)


@pytest.mark.parametrize("moment", ["up", float("nan"), 250.0, [1.0, 2.0], float("inf")])
def test_a_moment_that_is_none_is_refused_with_its_site(moment):
    structure = nio()
    structure.add_site_property("magmom", [0.0, moment, 0.0, 0.0])
    with pytest.raises(InputError, match=r"moment of site 2 is .* Bohr magnetons up to 20"):
        as_start(structure)


def test_sizes_begin_on_the_high_side_with_the_files_signs():
    start = begin(nio((1, -1, 0, 0)), TEST)
    assert kind_moments(start.structure) == {"Ni1": 2.0, "Ni2": -2.0, "O": 0.0}
    assert "Ni 2 in place of 1" in start.notes[0] and start.why_spin == "the moments of the file"
    ferri = nio()
    ferri.replace_species({"Ni": "Fe"})
    ferri.add_site_property("magmom", [2.0, -1.0, 0.0, 0.0])
    assert kind_moments(begin(ferri, TEST).structure) == {"Fe1": 4.0, "Fe2": -2.0, "O": 0.0}


def test_moments_that_are_asked_for_win_with_a_note():
    asked = TEST.model_copy(update={"starting_moments": {"Ni": 1.5}})
    start = begin(nio(), asked)
    assert not site_moments(start.structure) and "--moments gives others" in start.notes[0]
    assert for_crystal(start.structure, start.settings).starting_moments == {"Ni": 1.5}
    off = begin(nio(), TEST.model_copy(update={"magnetic": "off"}))
    assert not site_moments(off.structure) and "--no-spin" in off.notes[0] and off.why_spin == ""


def test_a_campaign_does_not_see_moments_of_data_files(tmp_path):
    table = fake_table(tmp_path, ("Cr",))
    plain = cubic("Im-3m", 2.87, ["Cr"], [[0, 0, 0]])
    assert calculation_key(CR, TEST, table) == calculation_key(plain, TEST, table)


def test_another_order_is_another_crystal_of_the_folder():
    parallel = with_moments(CR, [3, 3])
    assert len({digest_of(CR), digest_of(parallel), digest_of(without_moments(CR))}) == 3


@pytest.mark.pw
def test_chromium_keeps_two_sublattices_with_the_real_pw(tmp_path, pw_command, pseudo_folder):
    settings = TEST.model_copy(update={"vary": "nothing", "kspacing_inv_ang": 1.1})
    wide = CR.copy()
    wide.scale_lattice(3.1**3)  # where the moments are large, whatever the k points
    found = relax(as_start(wide)[0], settings, PseudoTable.load(pseudo_folder), tmp_path, command=pw_command)
    assert isinstance(found, Relaxed), found
    first, second = found.moments_bohr
    assert len(found.structure) == 2 and min(abs(first), abs(second)) > 1.0 and first * second < 0
    assert abs(found.magnetization_bohr) < 1.0  # rough k points leave some; parallel moments would be about 4
