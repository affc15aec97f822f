"""How likely a calculation ends with a value, learnt from those that did and those that gave up. Arrays alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from crystalloop.models.surrogate.base import FeatureRows, Values

PRIOR_SUCCESS, PRIOR_COUNT = 0.9, 2.0
"""Share of calculations that end well where nothing is known, and how many it counts for (Laplace, with that share)."""
PENALTY = 0.1
"""Inverse strength of the penalty of the logistic regression: one failure moves crystals like it, and little else."""
FOREST_ENOUGH = 10.0
"""Failures (or successes, where these are fewer) with which the forest's word counts half."""
TREES = 100


@dataclass(frozen=True)
class SuccessModel:
    """What was learnt of calculations that ended.

    Attributes:
        base: share that ended with a value, after Laplace.
        count: how many ended.
        trust: weight of the forest against the logistic regression.
        logistic, forest: None while all ended alike.
    """

    base: float
    count: int
    trust: float = 0.0
    logistic: Pipeline | None = None
    forest: ExtraTreesClassifier | None = None

    def chances(self, rows: FeatureRows) -> Values:
        """[n]: probability of each row to end with a value; never 0 or 1, which no finite number of failures shows."""
        if self.logistic is None or self.forest is None or not len(rows):
            return np.full(len(rows), self.base)
        made = sum(
            weight * model.predict_proba(rows)[:, 1]
            for weight, model in ((1 - self.trust, self.logistic), (self.trust, self.forest))
        )
        least = 1 / (self.count + 2)
        return np.clip(np.asarray(made, dtype=np.float64), least, 1 - least)


def fit_success(rows: FeatureRows, ended_well: NDArray[np.bool_], seed: int) -> SuccessModel:
    """Fit to calculations that ended; none, or all of one kind, is no error.

    Args:
        rows: [n, f], finite.
        ended_well: [n], True where there is a value; False where the candidate gave up, was rejected or collapsed.
        seed: of the forest.

    Raises:
        ValueError: as many rows as ends are needed, and a row is finite.
    """
    ended = np.asarray(ended_well, dtype=np.bool_)
    if len(rows) != len(ended) or not np.isfinite(rows).all():
        raise ValueError(f"{len(rows)} rows for {len(ended)} ends, or a feature is not finite")
    successes, count = int(ended.sum()), len(ended)
    base = (successes + PRIOR_SUCCESS * PRIOR_COUNT) / (count + PRIOR_COUNT)
    fewer = min(successes, count - successes)
    if not fewer:
        return SuccessModel(base, count)
    logistic = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=1_000)).fit(rows, ended)
    forest = ExtraTreesClassifier(TREES, random_state=seed).fit(rows, ended)
    return SuccessModel(base, count, fewer / (fewer + FOREST_ENOUGH), logistic, forest)
