"""Looking a crystal up among many: the same answers as StructureMatcher on every pair."""

from __future__ import annotations

import numpy as np

from crystalloop.models.crystals.known import DistinctCrystals
from crystalloop.models.crystals.prototypes import Prototype, decorate
from crystalloop.models.generate.funnel import KnownStructures


def test_answers_are_those_of_comparing_every_pair():
    rng = np.random.default_rng(4)
    known, distinct = KnownStructures(), DistinctCrystals()
    asked = []
    for kind in (Prototype.ROCKSALT, Prototype.CSCL, Prototype.ZINCBLENDE):
        ideal = decorate(kind, ("Na", "Cl"))
        moved = ideal.copy()
        moved.perturb(0.05, seed=7)
        far = ideal.copy()
        for site in range(0, len(far), 2):
            far.translate_sites([site], rng.uniform(0.1, 0.3, 3), frac_coords=True)
        asked += [ideal.get_primitive_structure(), moved, far, ideal * (2, 1, 1), ideal.copy().scale_lattice(400.0)]
        known.add(ideal)
        distinct.add("NaCl", ideal.copy)
    asked.append(decorate(Prototype.ROCKSALT, ("K", "Cl")))
    answers = [distinct.knows(structure) for structure in asked]
    assert answers == [known.knows(structure) for structure in asked]
    assert set(answers) == {True, False}
    assert [distinct.knows(structure) for structure in asked] == answers


def test_a_crystal_added_after_a_question_is_found():
    distinct = DistinctCrystals()
    salt = decorate(Prototype.ROCKSALT, ("Na", "Cl"))
    assert not distinct.knows(salt)
    distinct.add("NaCl", lambda: salt)
    assert distinct.knows(salt)
    distinct.add("NaCl", lambda: decorate(Prototype.CSCL, ("Na", "Cl")))
    assert distinct.knows(decorate(Prototype.CSCL, ("Na", "Cl")))
