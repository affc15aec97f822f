"""The balance of charges: what no oxidation states can balance is left out, and no crystal that is known to exist is."""

import numpy as np
import pytest

from crystalloop.models.crystals.chemistry import charges_balance, must_balance
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_numbers


def crystal(formula, apart_ang=4.0, near=()):
    """Atoms on a line, far apart; those named in `near` in pairs of that distance in angstrom."""
    species = [symbol for symbol, count in formula.items() for _ in range(count)]
    pairs = dict(near)
    places, x = [], 0.0
    for i, symbol in enumerate(species):
        follows = i and species[i - 1] == symbol and (i - species.index(symbol)) % 2
        x += pairs.get(symbol, apart_ang) if follows else apart_ang
        places.append(x)
    length = x + apart_ang
    coords = np.array([[place / length, 0.0, 0.0] for place in places])
    return Crystal(np.diag([length, 9.0, 9.0]), np.array([atomic_numbers()[s] for s in species]), coords)


BALANCED = [
    {"Li": 1, "F": 1},
    {"Mg": 1, "O": 1},
    {"Fe": 3, "O": 4},
    {"Pb": 3, "O": 4},
    {"Sr": 1, "Ti": 1, "O": 3},
    {"Ba": 1, "Fe": 1, "O": 3},
    {"Ca": 3, "N": 2},
    {"Na": 2, "S": 1},
    {"Ti": 1, "O": 1},
    {"Nb": 1, "O": 1},
    {"Ag": 2, "F": 1},
    {"Li": 1, "Cl": 1, "O": 4},
    {"Na": 1, "N": 1, "O": 3},
    {"Al": 1, "F": 3},
    {"Sr": 3, "Pb": 1, "O": 1},
    {"Si": 1, "O": 2},
    {"Hg": 2, "Cl": 2},
    {"O": 1, "F": 2},
    {"U": 1, "O": 2},
    {"Eu": 1, "O": 1},
    {"Cs": 1, "Pb": 1, "I": 3},
    {"Xe": 1, "F": 2},
    {"Na": 1, "H": 1, "F": 2},
]
NOT_BALANCED = [
    {"O": 1, "F": 1},
    {"Li": 1, "O": 1},
    {"Na": 1, "O": 1},
    {"Mg": 1, "F": 1},
    {"Li": 2, "F": 1},
    {"Li": 1, "F": 2},
    {"Na": 1, "Mg": 1, "F": 1},
    {"Al": 1, "O": 1},
    {"Ca": 1, "N": 1},
    {"K": 1, "Cl": 2},
    {"Na": 1, "S": 1},
    {"Ba": 1, "Mg": 1, "O": 3},
    {"Li": 1, "Na": 1, "O": 3},
]
EXEMPT = [{"Li": 1, "Mg": 1}, {"Na": 1, "Li": 1}, {"Ni": 3, "Al": 1}, {"Ti": 2, "N": 1}, {"O": 2}, {"Fe": 4, "N": 1}]


def name(formula):
    return "".join(f"{symbol}{count}" for symbol, count in formula.items())


@pytest.mark.parametrize("formula", BALANCED, ids=name)
def test_what_exists_is_balanced(formula):
    assert charges_balance(crystal(formula))


@pytest.mark.parametrize("formula", NOT_BALANCED, ids=name)
def test_what_no_oxidation_states_balance_is_not(formula):
    assert must_balance(crystal(formula))
    assert not charges_balance(crystal(formula))


@pytest.mark.parametrize("formula", EXEMPT, ids=name)
def test_alloys_elements_and_metallic_nitrides_need_not_balance(formula):
    assert not must_balance(crystal(formula))
    assert charges_balance(crystal(formula))


@pytest.mark.parametrize(
    ("formula", "bonds"),
    [
        ({"Li": 2, "O": 2}, {"O": 1.5}),
        ({"Na": 2, "O": 2}, {"O": 1.5}),
        ({"K": 1, "O": 2}, {"O": 1.3}),
        ({"Na": 1, "N": 2}, {"N": 1.2}),
        ({"Ca": 1, "S": 2}, {"S": 2.1}),
        ({"K": 1, "I": 2}, {"I": 2.9}),
        ({"Si": 2, "Cl": 6}, {"Si": 2.35}),
        ({"O": 2, "F": 2}, {}),
    ],
    ids=lambda value: name(value) if value and isinstance(next(iter(value.values())), int) else "",
)
def test_bonds_between_like_atoms_are_seen_in_the_structure(formula, bonds):
    assert not charges_balance(crystal(formula))
    assert charges_balance(crystal(formula, near=bonds)) is bool(bonds)


def test_the_order_of_the_atoms_says_nothing():
    one, other = crystal({"Mg": 1, "O": 1}), crystal({"O": 1, "Mg": 1})
    assert charges_balance(one) is charges_balance(other) is True
