"""Candidates without a model: the campaign's prototypes decorated with its elements, a diverse few chosen. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from pymatgen.core.composition import Composition
from pymatgen.core.periodic_table import Element

from crystalloop.models.crystals.compounds import parse_compound
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.prototypes import Prototype, decorations, multiplicities
from crystalloop.models.crystals.structures import decorate, plausible_oxidation
from crystalloop.models.draw.proposal import Kind, Proposal
from crystalloop.models.draw.target import Target
from crystalloop.models.generate.funnel import (
    Filter,
    charge_balanced,
    is_new,
    run_funnel,
    valid_distances,
    wanted_composition,
    wanted_formula,
)
from crystalloop.orchestrator.acquire.base import NOTHING_BEFORE, History, Scored
from crystalloop.orchestrator.acquire.greedy import spread
from crystalloop.orchestrator.campaign.spec import Campaign

BALANCED = 0.03
IONIC = 0.01
"""Preference for charge-balanced decorations, and per unit of electronegativity difference, against the unit of
diversity in `greedy.spread`. Small: a model that has seen stable salts only thinks everything is one."""


@dataclass(frozen=True)
class Choice:
    """A funnel's counts, who is to be computed with what score, and why no more than these; see loop.contracts.Proposed."""

    counts: tuple[tuple[str, int], ...]
    chosen: tuple[tuple[Proposal, float], ...]
    note: str = ""


def decorated_pool(campaign: Campaign) -> tuple[Proposal, ...]:
    """Every decoration of the campaign's prototypes and its base compounds, each crystal once, in a fixed order."""
    wanted = list(decorations(campaign.prototypes, campaign.elements))
    for base in campaign.bases:
        compound = parse_compound(base)
        if all(_key(compound.prototype, compound.elements) != _key(*other) for other in wanted):
            wanted.append((compound.prototype, compound.elements))
    return tuple(
        Proposal(
            Crystal.from_structure(decorate(prototype, elements)), Kind.DECORATED, str(prototype), seed=campaign.seed
        )
        for prototype, elements in wanted
    )


def _key(prototype: Prototype, elements: tuple[str, ...]) -> tuple[Prototype, tuple[str, ...]]:
    """Equal for decorations that are the same crystal: A and B of B1, B2 and B3 may be exchanged, Y and Z of a Heusler."""
    match prototype:
        case Prototype.PEROVSKITE:
            return prototype, elements
        case Prototype.HEUSLER | Prototype.HALF_HEUSLER:
            return prototype, (elements[0], *sorted(elements[1:]))
        case _:
            return prototype, tuple(sorted(elements))


def distinct() -> Filter[Proposal]:
    """`funnel.unique` for decorations, which need no comparison of structures, nor the import of what compares them."""

    def keep(drafts: Sequence[Proposal]) -> list[Proposal]:
        first: dict[tuple[Prototype, tuple[str, ...]], Proposal] = {}
        for draft in drafts:
            elements = tuple(dict.fromkeys(site.specie.symbol for site in draft.structure))  # in the order of the roles
            first.setdefault(_key(Prototype(str(draft.prototype)), elements), draft)
        return list(first.values())

    return Filter("unique", keep)


def preference(proposal: Proposal) -> float:
    """How gladly a decoration is computed first: charge balance and ionicity, minus a little per atom of the formula."""
    composition = proposal.structure.composition
    balanced = is_balanced(composition.reduced_formula, str(proposal.prototype))
    values = [Element(str(element)).X for element in composition]
    atoms = sum(multiplicities(Prototype(str(proposal.prototype))))
    return BALANCED * balanced + IONIC * (max(values) - min(values)) - 0.01 * atoms


@cache
def is_balanced(formula: str, prototype: str) -> bool:
    """Whether common oxidation states balance the charge of some decoration of this formula in this prototype."""
    amounts = Composition(formula).get_el_amt_dict()
    symbols = sorted(amounts, key=lambda symbol: amounts[symbol])
    kind = Prototype(prototype)
    orders = [symbols, symbols[::-1]]
    return any(plausible_oxidation(tuple(order), kind) is not None for order in orders if _fits(order, amounts, kind))


def _fits(order: list[str], amounts: dict[str, float], kind: Prototype) -> bool:
    return tuple(int(amounts[symbol]) for symbol in order) == multiplicities(kind)


def anonymous_formulas(pool: Sequence[Proposal]) -> frozenset[str]:
    """The kinds of formula that the campaign is about, such as AB and ABC3."""
    return frozenset(str(proposal.structure.composition.anonymized_formula) for proposal in pool)


@dataclass(frozen=True)
class Spread:
    """The acquirer of a cold start: a diverse few, those that are gladly computed first; see acquire.base.Acquirer."""

    def choose(
        self,
        proposals: Sequence[Proposal],
        target: Target,
        count: int,
        rng: np.random.Generator,
        history: History = NOTHING_BEFORE,
    ) -> Scored:
        """Up to `count` decorations with their scores; neither the target, nor what was found, nor chance has a say."""
        return spread(proposals, [preference(proposal) for proposal in proposals], count)


def choose_decorated(
    campaign: Campaign,
    pool: Sequence[Proposal],
    known: KnownCrystals,
    count: int,
    choose: Callable[[Sequence[Proposal]], Scored] | None = None,
) -> Choice:
    """The funnel over decorated prototypes, and a diverse few of them; `choose` for another choice."""
    filters = (
        valid_distances(),
        wanted_formula(campaign.elements, anonymous_formulas(pool), campaign.generate.max_atoms),
        *balanced(campaign),
        is_new(known),
        distinct(),
    )
    funnel = run_funnel(pool, filters)
    if choose is None:
        chosen = spread(funnel.survivors, [preference(proposal) for proposal in funnel.survivors], count)
    else:
        chosen = choose(funnel.survivors)
    short = f"each of the {len(pool)} decorations of the prototypes is computed, known, gave up or is left out"
    return Choice(funnel.counts, tuple(chosen), short if len(chosen) < count else "")


def balanced(campaign: Campaign) -> tuple[Filter[Proposal], ...]:
    """The stages of chemistry: compositions as the target asks for them, charges that balance; none where neither is asked for."""
    place = campaign.target.vicinity
    wanted = () if place is None else (wanted_composition(place),)
    return (*wanted, charge_balanced()) if campaign.filters.charge_balance else wanted
