"""Rows of new crystals, from a handful of proposals worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from cubic_crystals import decorated

from crystalloop.models.crystals.contacts import volume_window_ang3
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.draw.proposal import Base, Kind, Proposal
from crystalloop.models.judge.drawn import drawn_from
from crystalloop.models.judge.generation import decile_rows, funnel_rows, sample_rows, speed_rows

EDGES = tuple(np.linspace(-4.0, 0.0, 9))


def salt(*elements, a=5.64, kind=Prototype.ROCKSALT) -> Crystal:
    return decorated(kind, elements, a)


def proposal(crystal) -> Proposal | None:
    if crystal is None:
        return None
    return Proposal(crystal, Kind.RANDOM, as_read=crystal, latent=np.zeros(2), condition=np.zeros(10))


TRAINED = [salt("Na", "Cl"), salt("Li", "F", a=4.03), salt("Rb", "I", a=7.3)]
KNOWN, WINDOW = KnownCrystals(TRAINED), volume_window_ang3(TRAINED)
SQUEEZED = salt("K", "Br", a=3.4)  # 1.7 A apart: valid in the paper, not in strict
COLLAPSED = Crystal(np.eye(3) * 4.0, np.array([11, 17]), np.array([(0.0, 0, 0), (0.95, 0, 0)]))


def drawn(crystals, energies, requested=None):
    condition = np.zeros((len(crystals), 10))
    if requested is not None:
        condition[np.arange(len(crystals)), requested] = 1.0
    given = iter([] if energies is None else energies)
    energy = None if energies is None else lambda made: np.array([next(given) for _ in made])
    return drawn_from([proposal(c) for c in crystals], condition, energy, WINDOW)


def by_key(rows):
    return {row.key: row for row in rows}


def test_validity_parts_company_where_atoms_are_close_or_nothing_was_read():
    made = [salt("Na", "Cl"), salt("Na", "Cl"), salt("K", "Cl", a=6.3), SQUEEZED, COLLAPSED, None]
    rows = by_key(sample_rows(drawn(made, [-1.0, -1.0, 1.0, -1.0, -1.0]), KNOWN))
    assert (rows["valid"].seed, rows["valid"].strict) == pytest.approx((4 / 5, 3 / 6))
    assert (rows["valid"].count, rows["valid"].failures) == (6, 1)
    assert (rows["negative_e_f"].seed, rows["negative_e_f"].strict) == pytest.approx((3 / 4, 2 / 3))
    assert (rows["unique"].seed, rows["unique"].strict) == pytest.approx((3 / 4, 2 / 3))
    assert (rows["novel"].seed, rows["novel"].strict) == pytest.approx((2 / 4, 1 / 3))


def test_another_structure_of_a_known_formula_is_novel_in_the_paper_alone():
    rows = by_key(sample_rows(drawn([salt("Na", "Cl", a=3.4, kind=Prototype.CSCL)], [-1.0]), KNOWN))
    assert (rows["novel"].seed, rows["novel"].strict) == (1.0, 0.0)


def test_without_energies_there_is_no_row_of_them():
    assert "negative_e_f" not in by_key(sample_rows(drawn([salt("Na", "Cl")], None), KNOWN))


def test_a_decile_is_missed_by_what_could_not_be_read_or_is_not_valid():
    made = [salt("Na", "Cl")] * 3 + [SQUEEZED, None]
    fresh = drawn(made, [-9.0, -3.9, -0.1, -9.0], [0, 0, 3, 0, 0])  # deciles 0, 1, 8, 0
    ten = drawn([salt("Na", "Cl")] * 10, np.linspace(-4.25, 0.25, 10), np.arange(10))
    rows = by_key(decile_rows(fresh, ten, EDGES))
    assert (rows["decile_exact"].seed, rows["decile_exact"].strict) == pytest.approx((2 / 4, 1 / 5))
    assert (rows["decile_within_one"].seed, rows["decile_within_one"].strict) == pytest.approx((3 / 4, 2 / 5))
    assert rows["decile_same_noise"].strict == pytest.approx(1.0)
    assert rows["decile_same_noise"].parts["decile exact"] == 1.0


def test_a_generator_that_ignores_its_condition_has_no_rank_correlation():
    rng = np.random.default_rng(0)
    fresh = drawn([salt("Na", "Cl")] * 400, rng.normal(-2.0, 1.0, 400), np.resize(np.arange(10), 400))
    rows = by_key(decile_rows(fresh, fresh, EDGES))
    assert abs(rows["decile_spearman"].strict) < 0.15
    assert abs(rows["decile_same_noise"].strict) < 0.15


def test_the_funnel_loses_candidates_stage_by_stage():
    base = Base("NaBr", salt("Na", "Br", a=5.97), -2.0)
    made = [
        None,
        COLLAPSED,  # not valid in either
        SQUEEZED,  # valid in the paper alone
        salt("Sr", "Ti", "O", a=3.9, kind=Prototype.PEROVSKITE),  # another anonymous formula
        salt("Na", "Cl"),  # known
        salt("Na", "Cl", a=3.4, kind=Prototype.CSCL),  # its formula is known, its structure is not
        salt("K", "I", a=7.0),  # far from the base in energy
        salt("K", "Cl", a=6.3),
        salt("K", "Cl", a=6.2),  # the same composition again
    ]
    energies = [-2.0, -2.0, -2.0, -2.0, -2.0, -1.0, -1.7, -2.3]
    rows = by_key(funnel_rows(drawn(made, energies), [base], np.zeros(9, int), KNOWN))
    left = {key: (round(9 * row.seed), round(9 * row.strict)) for key, row in rows.items()}
    assert left == {
        "funnel_valid": (7, 6),
        "funnel_formula": (6, 5),
        "funnel_new": (5, 3),
        "funnel_energy": (4, 2),
        "funnel_unique": (3, 1),
    }
    assert rows["funnel_unique"].parts["strict left per base"] == 1.0


def test_one_composition_round_two_bases_counts_twice_in_the_paper_alone():
    bases = [Base("NaBr", salt("Na", "Br", a=5.97), -2.0), Base("RbF", salt("Rb", "F", a=5.7), -2.0)]
    rows = by_key(funnel_rows(drawn([salt("K", "Cl", a=6.3)] * 2, [-2.0, -2.0]), bases, np.array([0, 1]), KNOWN))
    assert (rows["funnel_unique"].seed, rows["funnel_unique"].strict) == (1.0, 0.5)


def test_without_energies_the_funnel_ends_before_them():
    base = Base("NaBr", salt("Na", "Br", a=5.97), -2.0)
    rows = by_key(funnel_rows(drawn([salt("K", "Cl", a=6.3)], None), [base], np.zeros(1, int), KNOWN))
    assert set(rows) == {"funnel_valid", "funnel_formula", "funnel_new"}


def test_where_nothing_could_be_read_strict_is_zero():
    nothing = drawn([None, None], [], [3, 4])
    rows = by_key(sample_rows(nothing, KNOWN))
    assert np.isnan(rows["valid"].seed)
    assert rows["valid"].strict == 0.0
    ten = drawn([None] * 10, [], np.arange(10))
    assert by_key(decile_rows(nothing, ten, EDGES))["decile_within_one"].strict == 0.0


def test_speed_is_per_draw_in_the_paper_and_per_crystal_in_strict():
    rows, _, made = speed_rows(lambda: (None, [proposal(salt("Na", "Cl")), None]), None)
    found = by_key(rows)
    assert len(made) == 2
    assert found["candidates_per_s"].seed == pytest.approx(2 * found["candidates_per_s"].strict)
    assert found["candidates_per_s"].note
    assert 2 * found["cpu_ms"].seed == pytest.approx(found["cpu_ms"].strict)
