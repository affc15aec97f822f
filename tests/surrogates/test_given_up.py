"""What gave up: the same crystal is not proposed again, in whatever cell; another prototype of it may be, at a lower chance."""

import numpy as np
import pytest

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.crystals.structures import decorate
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.models.generate.funnel import is_new, run_funnel
from crystalloop.models.surrogate.chances.success import fit_success

GAVE_UP = decorate(Prototype.ROCKSALT, ("O", "F"), 4.0)


def proposed_again(structure):
    """Whether it comes through the funnel of a round after the one in which OF gave up in rocksalt."""
    proposal = Proposal(Crystal.from_structure(structure), Kind.RANDOM)
    return bool(run_funnel([proposal], [is_new(KnownCrystals([GAVE_UP]))]).survivors)


def moved(structure):
    """With its origin elsewhere."""
    other = structure.copy()
    other.translate_sites(list(range(len(other))), [0.3, 0.1, 0.2])
    return other


def shaken(structure):
    """With atoms and edge as a network draws them, some hundredths of an angstrom off."""
    other = structure.copy()
    other.perturb(0.05, seed=1)
    return other


@pytest.mark.parametrize(
    "again",
    [
        decorate(Prototype.ROCKSALT, ("O", "F"), 3.6),
        decorate(Prototype.ROCKSALT, ("O", "F"), 5.2),
        decorate(Prototype.ROCKSALT, ("F", "O"), 4.0),
        GAVE_UP.get_primitive_structure(),
        moved(GAVE_UP),
        shaken(GAVE_UP.get_primitive_structure()),
    ],
    ids=["smaller", "larger", "sites exchanged", "primitive cell", "another origin", "a little distorted"],
)
def test_the_crystal_that_gave_up_is_not_proposed_again(again):
    assert not proposed_again(again)


@pytest.mark.parametrize("prototype", [Prototype.CSCL, Prototype.ZINCBLENDE])
def test_its_other_prototypes_are_other_crystals(prototype):
    assert proposed_again(decorate(prototype, ("O", "F"), 3.0))


def test_a_second_prototype_of_what_gave_up_has_a_lower_chance_than_the_rest():
    """Rows: electronegativity of both elements (Pauling) and whether the prototype is B1, B2 or B3."""
    pauling = {"Li": 0.98, "Na": 0.93, "Mg": 1.31, "O": 3.44, "F": 3.98}
    pairs = [(a, b) for a in pauling for b in pauling if a < b]
    rows = np.array([[*sorted((pauling[a], pauling[b])), *kind] for a, b in pairs for kind in np.eye(3)])
    names = [frozenset(pair) for pair in pairs for _ in range(3)]
    seen = np.arange(len(rows)) % 3 != 2  # B1 and B2 are computed, B3 is asked for
    of = np.array([name == {"O", "F"} for name in names])
    chances = fit_success(rows[seen], ~of[seen], 0).chances(rows[~seen])
    assert chances[of[~seen]][0] == chances.min()
    assert chances[of[~seen]][0] < 0.7 < 0.8 < np.median(chances)
