"""JSON as programs and public databases write a crystal: read by its shape, refused by the name of the field."""

import json

import numpy as np
import pytest
from salt_cif import CIF

from crystalloop.models.formats.crystal_read import FormatError
from crystalloop.models.formats.objects.values import lattice_of
from crystalloop.models.formats.parts.sound import sound
from crystalloop.models.formats.structure_json import read_json, structure_of_object

CUBE = [[4.12, 0, 0], [0, 4.12, 0], [0, 0, 4.12]]
PARAMETERS = {"a": 4.12, "b": 4.12, "c": 4.12, "alpha": 90, "beta": 90, "gamma": 90}


def site(element, abc, **more):
    return {"species": [{"element": element, "occu": 1}], "abc": abc, "properties": {}, **more}


def document(**changes):
    sites = [site("Cs", [0, 0, 0]), site("Cl", [0.5, 0.5, 0.5])]
    return {"@module": "pymatgen.core.structure", "lattice": {"matrix": CUBE}, "sites": sites} | changes


def optimade(**changes):
    return {
        "lattice_vectors": CUBE,
        "cartesian_site_positions": [[0, 0, 0], [2.06, 2.06, 2.06]],
        "species_at_sites": ["Cs", "Cl"],
        "species": [
            {"name": "Cs", "chemical_symbols": ["Cs"], "concentration": [1.0]},
            {"name": "Cl", "chemical_symbols": ["Cl"], "concentration": [1.0]},
        ],
        "nsites": 2,
    } | changes


ROW = {"species": ["Cs", "Cl"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]]}
ASE = {
    "numbers": {"__ndarray__": [[2], "int64", [55, 17]]},
    "positions": {"__ndarray__": [[2, 3], "float64", [0, 0, 0, 2.06, 2.06, 2.06]]},
    "cell": {"array": {"__ndarray__": [[3, 3], "float64", np.ravel(CUBE).tolist()]}, "__ase_objtype__": "cell"},
}
SAME = {
    "matrix alone": document(),
    "parameters alone": document(lattice=PARAMETERS),
    "both": document(lattice={"matrix": CUBE, **PARAMETERS, "volume": 69.93, "pbc": [True] * 3}),
    "xyz alone": document(sites=[{"species": [{"element": "Cs"}], "xyz": [0, 0, 0]}, site("Cl", [0.5, 0.5, 0.5])]),
    "list of one": [document()],
    "document of Materials Project": {"material_id": "mp-1", "structure": document(), "energy_per_atom": -3.0},
    "answer of its interface": {"data": [{"structure": document()}], "meta": {"total_doc": 1}},
    "entry": {"@class": "ComputedStructureEntry", "energy": -6.0, "composition": {"Cs": 1}, "structure": document()},
    "task": {"output": {"structure": document(), "energy": -6.0}, "input": {"incar": {}}},
    "optimade attributes": optimade(),
    "optimade answer": {"data": {"id": "x", "type": "structures", "attributes": optimade()}, "meta": {}},
    "row, lattice as object": ROW | {"lattice": PARAMETERS},
    "row, nine numbers": ROW | {"lattice": np.ravel(CUBE).tolist()},
    "row, six numbers": ROW | {"lattice": [4.12, 4.12, 4.12, 90, 90, 90]},
    "row, edge": ROW | {"a": 4.12},
    "row in angstrom": {"species": ["Cs", "Cl"], "cart_coords": [[0, 0, 0], [2.06] * 3], "lattice": CUBE},
    "jarvis": {
        "atoms": {"lattice_mat": CUBE, "elements": ["Cs", "Cl"], "coords": ROW["frac_coords"], "cartesian": False}
    },
    "ase": {"1": ASE, "ids": [1], "nextid": 2},
    "JSON in JSON": json.dumps(document()),
    "JSON in a document": {"structure": json.dumps(document()), "id": "x"},
    "CIF in a document": {"id": "x", "cif": CIF.format(a=4.12, rows="Cs1 Cs 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1")},
    "CIF under structure": {"structure": CIF.format(a=4.12, rows="Cs1 Cs 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1")},
    "ase in lists": {"numbers": [55, 17], "positions": [[0, 0, 0], [2.06] * 3], "cell": CUBE, "pbc": [True] * 3},
}


@pytest.mark.parametrize("name", SAME)
def test_caesium_chloride_is_read_from_every_shape(name):
    read = sound(read_json(json.dumps(SAME[name])))
    assert read.structure.composition.formula == "Cs1 Cl1"
    assert read.structure.lattice.abc == pytest.approx((4.12, 4.12, 4.12))
    assert read.structure.distance_matrix[0, 1] == pytest.approx(4.12 * 3**0.5 / 2)
    assert read.structure[0].specie.symbol == "Cs" and read.structure[1].frac_coords == pytest.approx([0.5] * 3)


def test_the_key_under_which_a_crystal_was_found_is_said_unless_it_is_the_usual_one():
    assert read_json(json.dumps(SAME["task"])).notes == ("the crystal under output.structure is read",)
    assert read_json(json.dumps(SAME["document of Materials Project"])).notes == ()


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([document(), document()], r"holds 2 crystals \(\[0\], \[1\]\), expected one"),
        (
            {"input": {"structure": document()}, "output": {"structure": document()}},
            "2 crystals .input.structure, output",
        ),
        ({}, "its keys are none"),
        ({"material_id": "mp-1", "density": 3.0}, "its keys are material_id, density"),
        (3, "holds 3 and no crystal"),
        ("Full Formula (Cs1 Cl1)", "holds the text 'Full Formula"),
        ({"structure": "Full Formula (Cs1 Cl1)"}, "holds the text 'Full Formula"),
        ({"structure": None, "x": 1}, "its keys are structure, x"),
        ({"structure": document(sites=[])}, "structure: sites is empty: no atoms"),
        (document(lattice={"matrix": CUBE[:2]}), "lattice.matrix holds 2 vectors, expected 3"),
        (document(lattice={"matrix": [[4, 0, 0], [0, 4, 0], [4, 4, 0]]}), "lie in a plane"),
        (document(lattice={"matrix": [[4e5, 0, 0], [0, 4, 0], [0, 0, 4]]}), "lattice vector a is 4e.05 angstrom long"),
        (
            document(lattice={"matrix": [[4, 0, "x"], [0, 4, 0], [0, 0, 4]]}),
            r"matrix\[0\]\[2\] is 'x', expected a number",
        ),
        (document(lattice={"a": 4, "b": 4, "c": 4}), "lattice.alpha is None, expected a number"),
        (document(lattice=PARAMETERS | {"gamma": 190}), "gamma is 190, expected an angle"),
        (document(lattice=PARAMETERS | {"alpha": 20, "beta": 20}), "cannot meet at angles of 20, 20, 90"),
        (document(lattice=PARAMETERS | {"matrix": [[5, 0, 0], [0, 5, 0], [0, 0, 5]]}), "has the edges 5, 5, 5"),
        (document(lattice={"matrix": CUBE, "volume": 100}), "volume is 100, and the matrix has 69.93"),
        (document(lattice=PARAMETERS | {"a": True}), "lattice.a is True, expected a number"),
        (document(lattice=None, **{"@class": "Molecule"}), "a molecule"),
        (document(sites=[site("Xx", [0, 0, 0])]), "'Xx' names no element"),
        (document(sites=[site("X", [0, 0, 0])]), "'X' names no element"),
        (document(sites=[site("Cs", [0, 0])]), r"sites\[0\].abc holds 2 numbers, expected 3"),
        (document(sites=[site("Cs", [0, 0, "0"])]), r"sites\[0\].abc\[2\] is '0', expected a number"),
        (document(sites=[site("Cs", [0, 0, 0], xyz=[1, 0, 0])]), r"sites\[0\]: abc and xyz say two different places"),
        (document(sites=[site("Cs", None)]), r"sites\[0\] has no position"),
        (document(sites=[site("Cs", [1e30, 0, 0])]), "position 1 lies 1e.30 cells away"),
        (document(sites=[{"species": [{"element": "Cs", "occu": 0}], "abc": [0, 0, 0]}]), "occu is 0"),
        (document(sites=[{"species": [{"element": "Cs", "occu": 0.5}], "abc": [0, 0, 0]}]), "the first holds 'Cs0.5'"),
        (
            document(sites=[site("Cs", [0, 0, 0]), site("Cl", [0, 0, 0.99])]),
            r"site 1 \(Cs\) and site 2 \(Cl\) are 0.041",
        ),
        (document(sites=[site("Cs", [0, 0, 0]), site("Cs", [0, 0, 1])]), r"site 1 \(Cs\) and site 2 \(Cs\) are 0.000"),
        (ROW | {"species": ["Cs", "Cl", "Cl"], "a": 4.12}, "species holds 3 and frac_coords 2"),
        (ROW, "has neither lattice nor a"),
        (optimade(structure_features=["implicit_atoms"]), "structure_features says implicit_atoms"),
        (optimade(nsites=3), "nsites is 3, and species_at_sites holds 2"),
        (optimade(species=[]), "species_at_sites names 'Cl', which species does not hold"),
        (optimade(cartesian_site_positions=[[0, 0, 0], [None, 0, 0]]), r"cartesian_site_positions\[1\]\[0\] is None"),
        (optimade(species_at_sites=["Cs"], nsites=1), "1 species and 2 positions"),
        (ASE | {"numbers": [55, 0]}, r"numbers\[1\] is 0, expected an atomic number from 1 to 118"),
        (ASE | {"numbers": [55]}, "1 numbers and 2 positions"),
        (ASE | {"cell": [[4.12, 0, 0], [0, 4.12, 0], [0, 0, 0]]}, "lattice vector c is zero: no cell"),
        (ASE | {"numbers": {"__ndarray__": [[10**12], "int64", [55]]}}, "an array of shape .* holds 1 values"),
    ],
)
def test_what_is_no_crystal_is_refused_by_its_field(found, sentence):
    with pytest.raises(FormatError, match=sentence):
        sound(structure_of_object(found))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ('{"x": NaN}', "holds NaN"),
        ('{"lattice": 1e400, "sites": []}', "lattice is inf"),
        ("1" * 5000, "holds a number that cannot be read"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("{'a': 1}", "is no JSON .line 1, column 2"),
        ('{"a": 1}\n{"a": 2}\n', "2 objects, one a line"),
        ("[" + "1, " * 3 * 2**20 + "1]", "has 9 MB, one crystal has less than 8"),
        ('{"structure": ' * 20 + "{}" + "}" * 20, "structure in structure"),
    ],
)
def test_texts_that_are_no_document_are_refused_in_a_sentence(text, sentence):
    with pytest.raises(FormatError, match=sentence):
        read_json(text)


def test_moments_are_kept_from_properties_spins_and_vectors():
    def moments(*values, key="properties"):
        sites = [site("Cr", [0, 0, 0]), site("Cr", [0.5, 0.5, 0.5])]
        for one, value in zip(sites, values, strict=True):
            one[key] = {"magmom": value}
        read = sound(structure_of_object(document(sites=sites)))
        return read.structure.site_properties.get("magmom"), read.notes

    assert moments(3, -3) == ([3.0, -3.0], ())
    assert moments(0.0, 1e-4) == (None, ())
    assert moments({"@class": "Magmom", "moment": 2.5}, None) == ([2.5, 0.0], ())
    along, notes = moments([0, 0, -2.0], [0, 0, 2.0])
    assert along == [-2.0, 2.0] and "lie along 0 0 1" in notes[0]
    across, notes = moments([2.0, 0, 0], [0, 2.0, 0])
    assert across is None and "non-collinear" in notes[0]
    kinds = [[{"element": "Cr", "spin": spin, "occu": 1}] for spin in (5, -5)]
    spins = document(sites=[{"species": kind, "abc": [place] * 3} for kind, place in zip(kinds, (0, 0.5), strict=True)])
    assert structure_of_object(spins).structure.site_properties["magmom"] == [5.0, -5.0]


def test_what_is_left_aside_is_said():
    sites = [site("Cs", [0, 0, 0]), site("D", [0.5, 0.5, 0.5])]
    sites[0]["properties"]["selective_dynamics"] = [True, False, True]
    notes = sound(structure_of_object(document(sites=sites, charge=1.0))).notes
    assert notes == (
        "deuterium (D) is computed as hydrogen",
        "the charge of the crystal, 1.0, is not used: it is computed neutral",
        "selective_dynamics is not used: all atoms may move",
    )
    slab = document(lattice={"matrix": CUBE, "pbc": [True, True, False]})
    assert structure_of_object(slab).notes[0].startswith("pbc is T T F")


def test_a_lattice_has_one_reading_in_every_form():
    for form in (4.12, PARAMETERS, CUBE, np.ravel(CUBE).tolist(), np.array(CUBE), [4.12, 4.12, 4.12, 90, 90, 90]):
        assert lattice_of(form) == pytest.approx(np.array(CUBE))
    for form in (None, "cubic", [], {}, [1, 2], True, [[1, 2, 3]] * 4):
        with pytest.raises(FormatError, match="lattice"):
            lattice_of(form)
