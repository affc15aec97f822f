"""The surrogate of extremely randomised trees (Geurts et al., Machine Learning 63, 3, 2006): good from a dozen labels on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from crystalloop.models.surrogate.base import FeatureRows, Labelled, Prediction
from crystalloop.models.surrogate.labels import checked

LEAST_SIGMA = 1e-3
"""Share of the labels' spread that an error bar has at least: trees may agree on a value, and be wrong together."""


@dataclass(frozen=True)
class Trees:
    """See models.surrogate.base.Surrogate. The error bar is the spread of the trees.

    Attributes:
        trees: how many.
        share: of the features that each split looks at.
    """

    trees: int = 150
    share: float = 1 / 3

    def fit(self, labelled: Labelled, seed: int) -> FittedTrees:
        """See Surrogate."""
        known = checked(labelled)
        zero = float(known.values.mean())
        forest = ExtraTreesRegressor(self.trees, max_features=self.share, random_state=seed)
        forest.fit(known.rows, known.values - zero)
        return FittedTrees(forest, zero, max(float(known.values.std()), 1e-6) * LEAST_SIGMA)


@dataclass(frozen=True)
class FittedTrees:
    """See Fitted."""

    forest: ExtraTreesRegressor
    zero: float
    least_sigma: float
    name: str = "trees"

    def predict(self, rows: FeatureRows) -> Prediction:
        """See Fitted."""
        if not len(rows):
            return Prediction(np.zeros(0), np.zeros(0))
        single = rows.astype(np.float32)  # as the forest would, once for each tree
        each = np.array([tree.predict(single, check_input=False) for tree in self.forest.estimators_])
        return Prediction(self.zero + each.mean(axis=0), np.maximum(each.std(axis=0), self.least_sigma))
