"""CIF files as databases and programs export them, each against what another program says of it (exported/right_cif.json)."""

import json
from pathlib import Path

import pytest
import spglib

from crystalloop.models.formats.cif import read_cif

FOLDER = Path(__file__).parent / "exported"
RIGHT = json.loads((FOLDER / "right_cif.json").read_text(encoding="utf-8"))


def test_every_file_has_its_right_answer():
    assert {path.stem for path in FOLDER.glob("*.cif")} == set(RIGHT) and len(RIGHT) >= 30


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_a_file_as_it_is_exported_gives_the_right_crystal(name):
    right = RIGHT[name]
    read = read_cif((FOLDER / f"{name}.cif").read_bytes().decode("utf-8"))
    structure = read.structure
    assert structure.composition.as_dict() == right["formula"] and len(structure) == right["atoms"]
    assert structure.volume == pytest.approx(right["volume_ang3"], abs=6e-4)
    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    assert spglib.get_spacegroup_type_from_symmetry(*_operations(cell)).number == right["number"]
    nearest = min(neighbor.nn_distance for at in structure.get_all_neighbors(8.0) for neighbor in at)
    assert nearest == pytest.approx(right["nearest_ang"], abs=2e-4)
    assert len(read.notes) == right["notes"]


def _operations(cell):
    found = spglib.get_symmetry(cell, symprec=0.02)
    return found["rotations"], found["translations"], cell[0]
