"""What would be computed first: a cold start's first batch as it is, a warm start's as far as its data tell without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element

from crystalloop.models.crystals.chemistry import electronegativity, metallic_radius_ang
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.files import KnownCrystal
from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.generate.funnel import is_new, run_funnel, valid_distances, wanted_formula
from crystalloop.orchestrator.acquire.by_name import acquirer_of
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.learn.training_set import Sources
from crystalloop.orchestrator.propose.ask import Ask
from crystalloop.orchestrator.propose.baselines.armed_choice import CampaignArms
from crystalloop.orchestrator.propose.cold_start import anonymous_formulas, balanced, choose_decorated, decorated_pool

RIDGE = 0.1
"""Of the linear fit, on features of unit variance."""
MOST_ELECTRONEGATIVE = 3.98
"""Fluorine's."""
FEWEST_LABELS = 8
"""Labels from which a linear fit is worth more than the order of a cold start."""


@dataclass(frozen=True)
class Preview:
    """The first batch.

    Attributes:
        batch: who would be computed, best first; those of a warm start with a stand-in for the prediction.
        error: typical error of that stand-in, in the target's unit; None where there is none.
    """

    batch: tuple[Proposal, ...]
    error: float | None = None


def first_batch(campaign: Campaign, known: Sequence[KnownCrystal], *, warm: bool) -> Preview:
    """What a campaign computes first.

    A warm start trains networks before it chooses, so all that can be shown without training is the ranking of the
    decorations by a linear fit to the data's labels: enough to see that data and target speak of the same crystals.
    """
    count = min(campaign.dft.per_round, campaign.budget.relaxations or campaign.dft.per_round)
    pool = decorated_pool(campaign)
    if not warm:
        if campaign.arms.loop < 1:
            return Preview(_by_arms(campaign, pool, known, count))
        return Preview(tuple(draft for draft, _ in choose_decorated(campaign, pool, KnownCrystals(), count).chosen))
    labelled = KnownCrystals(one.structure for one in known if E_F in one.labels)
    filters = (
        valid_distances(),
        wanted_formula(campaign.elements, anonymous_formulas(pool), campaign.generate.max_atoms),
        *balanced(campaign),
        is_new(labelled),
    )
    left = run_funnel(pool, filters).survivors
    ranked, error = _estimated(campaign, left, known)
    wanted, rng = campaign.target.for_networks(), np.random.default_rng(campaign.seed)
    chosen = acquirer_of(campaign.acquire).choose(ranked, wanted, count, rng)
    return Preview(tuple(draft for draft, _ in chosen), error)


def _by_arms(
    campaign: Campaign, pool: Sequence[Proposal], known: Sequence[KnownCrystal], count: int
) -> tuple[Proposal, ...]:
    """What the arms choose before there are networks."""
    training, _ = Sources(tuple(known), tuple(pool)).training_set(())
    computed = KnownCrystals(one.structure for one in known if E_F in one.labels)
    arms = CampaignArms(campaign, anonymous_formulas(pool), lambda _: {})
    return tuple(draft for draft, _ in arms.choose_decorated(Ask(1, None, training, computed, (), count), pool).chosen)


def _estimated(
    campaign: Campaign, left: Sequence[Proposal], known: Sequence[KnownCrystal]
) -> tuple[list[Proposal], float | None]:
    """With values of a linear fit to the labels of the target's property, and its error; without, where they are few."""
    name = campaign.target.for_networks().property
    rows = [(Crystal.from_structure(one.structure), one.labels[name]) for one in known if name in one.labels]
    if len(rows) < FEWEST_LABELS:
        return list(left), None
    features = np.array([_features(crystal) for crystal, _ in rows])
    values = np.array([value for _, value in rows])
    mean, scale = features.mean(0), features.std(0) + 1e-9
    scaled = np.c_[(features - mean) / scale, np.ones(len(rows))]
    gram = scaled.T @ scaled + RIDGE * np.eye(scaled.shape[1])
    weights = np.linalg.solve(gram, scaled.T @ values)
    leverage = np.einsum("ij,ji->i", scaled, np.linalg.solve(gram, scaled.T))
    error = float(np.abs((values - scaled @ weights) / np.maximum(1 - leverage, 0.1)).mean())  # leave-one-out
    estimated = []
    for draft in left:
        row = np.r_[(_features(draft.crystal) - mean) / scale, 1.0]
        sigma = error * float(np.sqrt(1 + row @ np.linalg.solve(gram, row)))  # more where it extrapolates
        estimated.append(replace(draft, predicted={name: float(row @ weights)}, sigmas={name: sigma}))
    return estimated, error


def _features(crystal: Crystal) -> NDArray[np.float64]:
    """Electronegativities, radii and valences of the elements: mean and spread over the atoms; atoms per volume."""
    amounts = crystal.composition
    weights = np.array(list(amounts.values()), dtype=float) / len(crystal)
    facts = np.array([_facts(symbol) for symbol in amounts])  # [e, 3]
    mean = weights @ facts
    spread = np.sqrt(weights @ (facts - mean) ** 2)
    density = len(crystal) / crystal.volume_ang3
    row: NDArray[np.float64] = np.r_[mean, spread, spread[0] ** 2, np.ptp(facts, axis=0), density]
    return row


def _facts(symbol: str) -> tuple[float, float, float]:
    pauling = electronegativity(symbol)  # infinite where there is none, as of helium
    return min(pauling, MOST_ELECTRONEGATIVE), metallic_radius_ang(symbol), float(Element(symbol).group)
