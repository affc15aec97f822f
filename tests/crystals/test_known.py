"""Looking a crystal up among many: the same answers as StructureMatcher on every pair."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.crystals.structures import decorate

SALT = decorate(Prototype.ROCKSALT, ("Na", "Cl"))


@pytest.mark.parametrize("matcher", [StructureMatcher(), StructureMatcher(primitive_cell=True, scale=True)])
def test_answers_are_those_of_comparing_every_pair(matcher):
    rng = np.random.default_rng(4)
    known, given, asked = KnownCrystals(), [], []
    for kind in (Prototype.ROCKSALT, Prototype.CSCL, Prototype.ZINCBLENDE):
        ideal = decorate(kind, ("Na", "Cl"))
        moved = ideal.copy()
        moved.perturb(0.05, seed=7)
        far = ideal.copy()
        for site in range(0, len(far), 2):
            far.translate_sites([site], rng.uniform(0.1, 0.3, 3), frac_coords=True)
        asked += [ideal.get_primitive_structure(), moved, far, ideal * (2, 1, 1), ideal.copy().scale_lattice(400.0)]
        given.append(ideal)
        known.add(ideal)
    asked.append(decorate(Prototype.ROCKSALT, ("K", "Cl")))
    answers = [known.knows(structure) for structure in asked]
    assert answers == [any(matcher.fit(structure, other) for other in given) for structure in asked]
    assert set(answers) == {True, False}
    assert [known.knows(structure) for structure in asked] == answers
    assert [known.knows(Crystal.from_structure(structure)) for structure in asked] == answers


def test_a_crystal_added_after_a_question_is_found():
    known = KnownCrystals()
    assert not known.knows(SALT)
    known.add(SALT)
    assert known.knows(SALT)
    known.add(decorate(Prototype.CSCL, ("Na", "Cl")))
    assert known.knows(decorate(Prototype.CSCL, ("Na", "Cl")))


def test_a_crystal_is_taken_once():
    known = KnownCrystals()
    assert [known.takes(one) for one in (SALT, SALT * (2, 1, 1), decorate(Prototype.CSCL, ("Na", "Cl")))] == [
        True,
        False,
        True,
    ]


def test_novelty_is_of_the_formula_first():
    known = KnownCrystals([SALT])
    asked = [SALT, decorate(Prototype.CSCL, ("Na", "Cl")), decorate(Prototype.ROCKSALT, ("K", "Cl"))]
    assert [known.novelty(one) for one in asked] == ["known", "new structure", "new formula"]
    assert [known.novelty(Crystal.from_structure(one)) for one in asked] == ["known", "new structure", "new formula"]


def test_asking_for_a_formula_reduces_no_cell_and_a_second_question_none_of_those_known(monkeypatch):
    calls = Counter()
    reduce = type(SALT).get_reduced_structure
    monkeypatch.setattr(
        type(SALT), "get_reduced_structure", lambda *a, **k: (calls.update(["reduced"]), reduce(*a, **k))[1]
    )
    known = KnownCrystals([SALT] * 3)
    assert known.has_formula(SALT)
    assert calls["reduced"] == 0
    assert known.knows(SALT)
    of_four = calls["reduced"]
    assert known.knows(SALT)
    assert of_four == 4 * (calls["reduced"] - of_four)


def test_noble_gases_have_a_formula_without_a_warning():
    argon = Crystal(np.eye(3) * 5.3, np.array([18]), np.zeros((1, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not KnownCrystals([argon]).has_formula(Crystal.from_structure(SALT))
        assert KnownCrystals([argon]).has_formula(argon)
