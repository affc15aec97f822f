"""The ranking of a round's crystals: a surrogate fitted to everything computed so far says what each will be. No Ray, no choice.

The networks rank by what they learnt in their last training. A forest or a Gaussian process learns from a dozen labels what
they need hundreds for, so both are asked, and each is believed as far as it has been right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.formulas import Formula, reduced_counts
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.files import KnownCrystal
from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.draw.target import ABOVE_HULL
from crystalloop.models.surrogate.base import FeatureRows, Fitted, Labelled, Prediction, Surrogate, Values
from crystalloop.models.surrogate.blend import Sayings, blended, networks_share
from crystalloop.models.surrogate.chances.conformal import Outcomes
from crystalloop.models.surrogate.features import BLOCKS, DENSE, crystal_features, feature_names
from crystalloop.models.surrogate.gaussian_process import GaussianProcess
from crystalloop.models.surrogate.stack import Stack, judged_by_groups
from crystalloop.models.surrogate.trees import Trees
from crystalloop.orchestrator.campaign.choice.sections import SurrogateSection
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.propose.columns import Columns
from crystalloop.orchestrator.propose.expectations import chances_of_hits, chances_of_success, expected_costs
from crystalloop.orchestrator.propose.history import Past, PastResults

HullEnergy = Callable[[Formula], float | None]
"""Reduced formula -> formation energy of the convex hull at that composition, eV/atom; None where nothing can be said."""
MOST_OF_FILES = 5_000
"""Labelled crystals of data files that a surrogate learns from, those of the campaign's elements first."""
MOST_HELD_OUT = 400
"""Labels that the first intervals are made of."""
TESTED = 60
"""Forecasts put to the test after which held-out labels count nothing beside them."""
NETWORKS, SURROGATE = "networks", "surrogate"


def surrogate_of(section: SurrogateSection) -> Surrogate | None:
    """The surrogate that a campaign asks for; None where the networks speak alone."""
    trees, process = Trees(section.trees), GaussianProcess((*BLOCKS, 1))
    made: dict[str, Surrogate | None] = {
        "trees": trees,
        "gaussian_process": process,
        "networks": None,
        "stack": Stack(
            {"trees": trees, "gaussian process": process},
            most={"gaussian process": 3_000},
            judges={"trees": Trees(max(10, section.trees // 3))},
        ),
    }
    return made[section.model]


@dataclass(frozen=True)
class LabelledCrystal:
    """A crystal of a data file with its labels, in the networks' units."""

    crystal: Crystal
    labels: Mapping[str, float]


def _no_hull() -> HullEnergy:
    """Nothing is known of any."""
    return lambda formula: None


def labelled_crystal(known: KnownCrystal) -> LabelledCrystal:
    """A crystal of a data file."""
    return LabelledCrystal(Crystal.from_structure(known.structure), known.labels)


class Ranker:
    """Says what proposals will be.

    Args:
        campaign: its target, and which surrogate.
        files: crystals of data files.
        hull: gives the convex hull that the campaign measures from, as it is known now; None without one.
    """

    def __init__(
        self,
        campaign: Campaign,
        files: Sequence[LabelledCrystal] = (),
        hull: Callable[[], HullEnergy] | None = None,
    ) -> None:
        self._campaign, self._hull_now = campaign, _no_hull if hull is None else hull
        self._main = _learnt(campaign.target.property)
        self._surrogate = surrogate_of(campaign.surrogate)
        self._rows: dict[bytes, FeatureRows] = {}
        self._seed = campaign.seed
        self._files = _nearest_first(files, set(campaign.elements), campaign.seed)

    def of(self, surrogate: Surrogate | None) -> Ranker:
        """The same with another surrogate; None lets the networks speak alone."""
        other = copy(self)
        other._surrogate = surrogate
        return other

    def has_labels(self, history: PastResults) -> bool:
        """Whether enough is known of the target to learn from."""
        return sum(self._main in past.values for past in history) + sum(self._main in f.labels for f in self._files) > 1

    def rank(self, proposals: Sequence[Proposal], history: PastResults) -> list[Proposal]:
        """The proposals with what is expected of them, in the same order.

        What nothing is known of stays as the networks predicted it.
        """
        target, crystals = self._campaign.target, [one.crystal for one in proposals]
        if not crystals:
            return []
        energy = self._hull_now() if ABOVE_HULL in target.properties() else None
        hull, unjudged = (None, None) if energy is None else hull_energies_at(crystals, energy)
        rows, bare = self._features(crystals, hull), self._features(crystals, None)
        names = dict.fromkeys(map(_learnt, target.properties()))
        columns = Columns.of(proposals, names)
        for name in names:
            self._tell(columns, name, rows, history, energy if name == E_F else None, hull)
        if hull is not None and unjudged is not None:
            over = np.where(unjudged, np.nan, columns.told[E_F].mean - hull)  # of a hull that abstains nothing is said
            columns.told[ABOVE_HULL] = Prediction(over, columns.told[E_F].sigma)
        if self._campaign.surrogate.failures:
            ended = self._features([past.crystal for past in history], None)
            columns.success = chances_of_success(bare, history, ended, self._seed)
        columns.cost_s = expected_costs(crystals, history)
        if not target.objectives:  # a compromise between several has no range to be met
            prototypes = [one.prototype or "" for one in proposals]
            held_out = self._held_out(rows, history, energy)
            columns.intervals, columns.chances = chances_of_hits(columns.told, prototypes, target, history, held_out)
        return columns.put_into(proposals)

    def _held_out(self, rows: FeatureRows, history: PastResults, energy: HullEnergy | None) -> Outcomes:
        """Labels of the target's property, each told without its chemical system, while few forecasts were put to the test."""
        tested = sum(past.forecast is not None and not past.failed for past in history)
        labelled = self._labelled(self._main, rows, history, energy if self._main == E_F else None)
        if labelled is None or self._surrogate is None or tested >= TESTED:
            return Outcomes.none()
        part = labelled.part(np.arange(min(len(labelled), MOST_HELD_OUT)))
        if isinstance(self._surrogate, Stack):
            told = self._surrogate.judged(part, self._seed).told
        else:
            told = judged_by_groups({"": self._surrogate}, part, self._seed).told
        kept = np.flatnonzero(np.isfinite(told.mean))
        prototypes = [past.prototype or "" for past in history if self._main in past.values]
        classes = tuple([*prototypes, *[""] * len(labelled)][place] for place in kept)
        return Outcomes(
            told.mean[kept], told.sigma[kept], part.values[kept], np.zeros(len(kept), dtype=np.int_), classes
        )

    def _tell(
        self,
        columns: Columns,
        name: str,
        rows: FeatureRows,
        history: PastResults,
        energy: HullEnergy | None,
        hull: Values | None,
    ) -> None:
        """Write what the surrogate and the networks say together of one property into the columns.

        Over a hull, what is learnt is how far a crystal lies above it, with the hull's energy as one feature more: most of a
        formation energy is that of the compounds it competes with, and these are known.
        """
        labelled = self._labelled(name, rows, history, energy)
        if labelled is None or self._surrogate is None:
            return
        fitted = self._surrogate.fit(labelled, self._seed)
        own, networks = fitted.predict(rows), columns.told[name]
        if energy is not None and hull is not None:
            own = Prediction(own.mean + hull, own.sigma)
        share = networks_share(len(labelled), _tested(name, history)) if np.isfinite(networks.mean).any() else 0.0
        columns.told[name] = blended(own, networks, share)
        if name == self._main:
            columns.parts = {SURROGATE: own.mean, NETWORKS: networks.mean}
            columns.surrogate = _named(fitted, share)

    def _labelled(
        self, name: str, rows: FeatureRows, history: PastResults, energy: HullEnergy | None
    ) -> Labelled | None:
        """Every label of a property, own results in the order in which they came, then those of files; None for one or none."""
        own = [(past.crystal, past.values[name]) for past in history if name in past.values]
        known = [*own, *((one.crystal, one.labels[name]) for one in self._files if name in one.labels)]
        if len(known) < 2:
            return None
        crystals, values = [crystal for crystal, _ in known], np.array([value for _, value in known])
        hull = None if energy is None else hull_energies_at(crystals, energy)[0]
        groups = tuple("-".join(crystal.composition) for crystal in crystals)
        return Labelled(self._features(crystals, hull), values if hull is None else values - hull, groups, rows)

    def _features(self, crystals: Sequence[Crystal], hull: Values | None) -> FeatureRows:
        """A row for each, the hull's energy before the shares of single elements; those of crystals seen before are kept."""
        found = []
        for crystal in crystals:
            key = crystal.numbers.tobytes() + crystal.frac_coords.tobytes() + crystal.lattice.tobytes()
            if key not in self._rows:
                self._rows[key] = crystal_features(crystal)
            found.append(self._rows[key])
        rows = np.array(found, dtype=np.float64).reshape(len(found), len(feature_names()))
        column = np.zeros(len(found)) if hull is None else hull
        return np.column_stack([rows[:, :DENSE], column, rows[:, DENSE:]])


def hull_energies_at(crystals: Sequence[Crystal], energy: HullEnergy) -> tuple[Values, NDArray[np.bool_]]:
    """Energy of the hull at each composition, eV/atom, and whether nothing can be said: then it is the elements'. [crystals]."""
    formulas = [reduced_counts(crystal) for crystal in crystals]
    found = {formula: energy(formula) for formula in dict.fromkeys(formulas)}
    known = [found[formula] for formula in formulas]
    return np.array([one or 0.0 for one in known]), np.array([one is None for one in known], dtype=np.bool_)


def _nearest_first(files: Sequence[LabelledCrystal], elements: set[str], seed: int) -> list[LabelledCrystal]:
    """At most MOST_OF_FILES: crystals of the campaign's elements alone, then of some of them, then others, drawn by the seed."""
    drawn = np.random.default_rng([seed, 11]).permutation(len(files))
    outside = [len(set(files[place].crystal.composition) - elements) for place in drawn]
    order = np.argsort(outside, kind="stable")[:MOST_OF_FILES]
    return [files[place] for place in np.sort(drawn[order])]


def _tested(name: str, history: Sequence[Past]) -> Sayings:
    """What surrogate and networks had said of crystals that were computed since."""
    said = [
        (past.forecast.parts[SURROGATE], past.forecast.parts[NETWORKS], past.values[name])
        for past in history
        if past.forecast is not None and name in past.values and {SURROGATE, NETWORKS} <= past.forecast.parts.keys()
    ]
    surrogate, networks, found = np.array(said, dtype=np.float64).reshape(-1, 3).T
    return Sayings(surrogate, networks, found)


def _named(fitted: Fitted, share: float) -> str:
    return f"{share:.0%} networks, else {fitted.name}" if share >= 0.005 else fitted.name


def _learnt(name: str) -> str:
    """The property that is learnt for one that is wanted: the hull is known, and what lies over it is a formation energy."""
    return E_F if name == ABOVE_HULL else name
