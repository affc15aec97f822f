"""Files other than CIF as programs and databases export them: the right answers are another program's, named in each."""

import json
from pathlib import Path

import numpy as np
import pytest

from crystalloop.models.formats.one_crystal import CrystalFileError, read_crystal

FOLDER = Path(__file__).parent / "exported"
ANSWERS = json.loads((FOLDER / "answers_other.json").read_text(encoding="utf-8"))
READ = [name for name, answer in ANSWERS.items() if "refused" not in answer]
REFUSED = [name for name, answer in ANSWERS.items() if "refused" in answer]


def test_every_file_has_an_answer():
    assert {path.name for path in (FOLDER / "other").iterdir()} == set(ANSWERS) and len(ANSWERS) >= 40


@pytest.mark.parametrize("name", READ)
def test_a_file_is_read_as_another_program_reads_it(name):
    answer, found = ANSWERS[name], read_crystal(FOLDER / "other" / name)
    structure = found.structure
    assert structure.composition.formula == answer["formula"]
    assert structure.volume == pytest.approx(answer["volume_ang3"], rel=2e-5)
    distances = structure.distance_matrix + 99 * np.eye(len(structure))
    shortest = min(distances.min(), *structure.lattice.get_lll_reduced_lattice().abc)
    assert shortest == pytest.approx(answer["shortest_ang"], abs=2e-4)
    assert structure.get_space_group_info(1e-3)[1] == answer["spacegroup"]
    assert structure.site_properties.get("magmom") == (pytest.approx(answer["magmom"]) if "magmom" in answer else None)
    assert answer.get("notes", "") in " ".join(found.notes) and bool(found.notes) == ("notes" in answer)


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_holds_no_single_ordered_crystal_is_refused_by_name(name):
    with pytest.raises(CrystalFileError) as refused:
        read_crystal(FOLDER / "other" / name)
    assert ANSWERS[name]["refused"] in str(refused.value) and name in str(refused.value)
