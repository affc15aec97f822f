"""The plain baselines of the laboratories: scikit-learn's ExtraTrees on composition and sites, greedy, UCB and P(hit).

Written without the product's features, surrogates and acquisition on purpose: what they are held against shares nothing with
them but the table, the calls at random and the seeds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from math import erf, sqrt

import numpy as np
from pymatgen.core.periodic_table import Element
from sklearn.ensemble import ExtraTreesRegressor

from crystalloop.models.draw.target import Direction
from crystalloop.orchestrator.simulate.pool import FIRST_STREAM
from crystalloop.orchestrator.simulate.trials import Call, Trial
from crystalloop.orchestrator.simulate.truth.laboratory import Laboratory, LabRow

TREES = 150
FACTS = (
    "X",
    "atomic_radius",
    "group",
    "row",
    "mendeleev_no",
    "melting_point",
    "molar_volume",
    "ionization_energy",
    "Z",
)
Score = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
"""Mean and deviation of the value, and the end of the range that makes a hit, lower being better -> larger is chosen."""


def greedy(mean: np.ndarray, sigma: np.ndarray, end: float) -> np.ndarray:
    """The best mean."""
    return -mean


def ucb(mean: np.ndarray, sigma: np.ndarray, end: float) -> np.ndarray:
    """The best mean less one standard deviation of the trees."""
    said: np.ndarray = sigma - mean
    return said


def hit_probability(mean: np.ndarray, sigma: np.ndarray, end: float) -> np.ndarray:
    """What a normal distribution puts below the end of the range."""
    said: np.ndarray = np.array(
        [0.5 * (1 + erf((end - m) / (s * sqrt(2)))) for m, s in zip(mean, np.maximum(sigma, 1e-6), strict=True)]
    )
    return said


SCORES: dict[str, Score] = {"ExtraTrees greedy": greedy, "ExtraTrees UCB": ucb, "ExtraTrees P(hit)": hit_probability}


@cache
def facts(symbol: str) -> tuple[float, ...]:
    """Numbers of an element; what pymatgen does not know is 0."""
    element = Element(symbol)
    found = [getattr(element, name, None) for name in FACTS]
    return tuple(0.0 if value is None or not np.isfinite(float(value)) else float(value) for value in found)


def features(row: LabRow) -> np.ndarray:
    """Fractions of elements, their facts weighted, spread, lowest and highest, and those of the atoms site by site."""
    if row.features:
        return np.array(row.features)
    composition, size = row.crystal.composition, len(row.crystal)
    shares = np.zeros(104)
    for symbol, count in composition.items():
        shares[Element(symbol).Z] = count / size
    weights = np.array([count / size for count in composition.values()])
    table = np.array([facts(symbol) for symbol in composition])
    mean = weights @ table
    spread = np.sqrt(weights @ (table - mean) ** 2)
    return np.concatenate([shares, mean, spread, table.min(axis=0), table.max(axis=0), _sites(row)])


def _sites(row: LabRow) -> np.ndarray:
    """Facts of the elements in the order in which the row's atoms name them, three at most, and how many atoms it has."""
    order = list(dict.fromkeys(str(Element.from_Z(int(number)).symbol) for number in row.crystal.numbers))[:3]
    sited = np.zeros((3, len(FACTS)))
    for place, symbol in enumerate(order):
        sited[place] = facts(symbol)
    return np.append(sited.ravel(), len(row.crystal))


def baseline(laboratory: Laboratory, name: str, seed: int, start: int, batch: int, calls: int, key: str) -> Trial:
    """One trial of a baseline: the same calls at random as every policy of this seed, then batch by batch."""
    began = time.process_time()
    rows, target = laboratory.rows, laboratory.target
    sign = -1.0 if target.direction is Direction.MAXIMISE or target.maximum is None else 1.0
    truth = np.array([np.nan if (value := laboratory.value(row)) is None else sign * value for row in rows])
    hull = np.array([row.hull_ev or 0.0 for row in rows])
    end = sign * (target.as_range().low if target.maximum is None else target.as_range().high)
    matrix = np.array([features(row) for row in rows])
    called = list(np.random.default_rng([seed, FIRST_STREAM]).choice(len(rows), start, replace=False))
    rounds, free = [1] * start, np.ones(len(rows), dtype=bool)
    free[called] = False
    while len(called) < calls and free.any():
        learnt = [i for i in called if np.isfinite(truth[i])]
        forest = ExtraTreesRegressor(TREES, random_state=seed + len(called), n_jobs=1)
        forest.fit(matrix[learnt], (truth + hull)[learnt])  # of a distance to the hull the formation energy is learnt
        left = np.flatnonzero(free)
        each = np.array([tree.predict(matrix[left].astype(np.float32)) for tree in forest.estimators_])
        score = SCORES[name](each.mean(axis=0) - hull[left], each.std(axis=0), end)
        best = left[np.argsort(-score, kind="stable")[: min(batch, calls - len(called))]]
        called += best.tolist()
        rounds += [rounds[-1] + 1] * len(best)
        free[best] = False
    made = tuple(_call(laboratory, int(index), number) for index, number in zip(called, rounds, strict=True))
    return Trial(name, seed, key, made, "all calls are made", {"baseline": time.process_time() - began})


def _call(laboratory: Laboratory, index: int, number: int) -> Call:
    row = laboratory.rows[index]
    return Call(number, row.id, row.formula, laboratory.value(row), index in laboratory.hits, row.cost_s)
