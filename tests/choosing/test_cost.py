"""The cost model: what it learns, what it abstains from, and how far it is off on calculations of this project's own."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from cubic_crystals import decorated, decorated_sample

from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.surrogate.cost import FEWEST_COSTS, SIZES, cost_features, fit_cost


def sample(count=40, seed=0):
    """Crystals whose time goes with the square of the electrons and doubles with oxygen, with a fifth of noise."""
    rng = np.random.default_rng(seed)
    crystals = decorated_sample(count)
    electrons = np.array([crystal.numbers.sum() for crystal in crystals])
    oxygen = np.array([np.mean(crystal.numbers == 8) for crystal in crystals])
    return crystals, 1e-3 * electrons**2.0 * 2.0**oxygen * np.exp(0.2 * rng.standard_normal(count))


def test_the_features_are_logarithms_of_sizes_and_shares_of_elements():
    salt = decorated(Prototype.ROCKSALT, ("Na", "Cl"), 5.64)
    (row,) = cost_features([salt])
    assert np.exp(row[:SIZES]) == pytest.approx([4 * (11 + 17), 8, 5.64**3, 5.64, 5.64**3 / 8])
    assert row[SIZES + 11 - 1] == row[SIZES + 17 - 1] == 0.5
    assert row[SIZES:].sum() == pytest.approx(1.0)
    assert cost_features([]).shape == (0, len(row))


def test_a_power_law_is_found_and_its_spread_is_what_it_is():
    crystals, cpu_s = sample(120)
    model = fit_cost(cost_features(crystals[:80]), cpu_s[:80])
    off = np.log(model.predict(cost_features(crystals[80:]))) - model.spread**2 / 2 - np.log(cpu_s[80:])
    assert np.sqrt(np.mean(off**2)) < 0.5 * np.log(cpu_s[80:]).std()
    assert np.sqrt(np.mean(off**2)) == pytest.approx(model.spread, rel=0.4)


def test_the_spread_is_that_of_leaving_each_one_out():
    crystals, cpu_s = sample(12)
    rows = cost_features(crystals)
    model = fit_cost(rows, cpu_s)
    left = []
    for i in range(len(cpu_s)):  # with the scales of all, as the shortcut has it
        keep = np.arange(len(cpu_s)) != i
        x, y = (rows - model.middle) / model.scale, np.log(cpu_s)
        centre, mean = x[keep].mean(axis=0), y[keep].mean()
        penalty = np.diag(np.r_[np.full(SIZES, 10.0), np.full(rows.shape[1] - SIZES, 0.3)])
        a = x[keep] - centre
        weights = np.linalg.solve(a.T @ a + penalty, a.T @ (y[keep] - mean))
        left.append(y[i] - mean - (x[i] - centre) @ weights)
    assert model.spread == pytest.approx(np.sqrt(np.mean(np.square(left))), rel=1e-6)


@pytest.mark.parametrize("count", range(FEWEST_COSTS))
def test_nothing_is_said_of_fewer_than_five(count):
    crystals, cpu_s = sample(10)
    assert fit_cost(cost_features(crystals)[:count], cpu_s[:count]) is None


def test_what_is_no_time_tells_nothing():
    crystals, cpu_s = sample(12)
    rows, odd = cost_features(crystals), np.array([0.0, -1.0, np.nan, np.inf])
    plain = fit_cost(rows, cpu_s).predict(rows)
    also = fit_cost(np.r_[rows, rows[:4]], np.r_[cpu_s, odd]).predict(rows)
    assert also == pytest.approx(plain)
    assert fit_cost(rows[:8], np.r_[cpu_s[:4], odd]) is None


def test_equal_crystals_with_equal_times_are_no_error():
    rows = cost_features([decorated(Prototype.CSCL, ("Cs", "Cl"))] * 6)
    assert fit_cost(rows, np.full(6, 30.0)).predict(rows) == pytest.approx(np.full(6, 30.0))


def test_a_crystal_unlike_all_others_costs_no_absurd_time():
    crystals, cpu_s = sample(10)
    model = fit_cost(cost_features(crystals), cpu_s)
    monster = decorated(Prototype.HEUSLER, ("U", "Pu", "Th"), 500.0)
    (expected,) = model.predict(cost_features([monster]))
    factor = np.exp(model.spread**2 / 2)
    assert cpu_s.min() / 2 * factor <= expected <= cpu_s.max() * 2 * factor * (1 + 1e-12)


def test_on_own_calculations_it_is_better_than_the_mean(shared_data):
    path = shared_data / "pwx_light_AB.json"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {shared_data}")
    table = json.loads(path.read_text(encoding="utf-8"))
    crystals = [
        decorated(Prototype(row["prototype"]), tuple(re.findall("[A-Z][a-z]?", row["formula"]))) for row in table
    ]
    rows, log_s = cost_features(crystals), np.log([row["cpu_s"] for row in table])
    errors = {"model": [], "mean": []}
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(len(table))
        train, test = order[:24], order[24:]
        model = fit_cost(rows[train], np.exp(log_s[train]))
        errors["model"].append(np.log(model.predict(rows[test])) - model.spread**2 / 2 - log_s[test])
        errors["mean"].append(log_s[train].mean() - log_s[test])
    of_model, of_mean = (float(np.sqrt(np.mean(np.square(errors[name])))) for name in ("model", "mean"))
    assert of_mean == pytest.approx(0.71, abs=0.05)
    assert of_model < 0.75 * of_mean
