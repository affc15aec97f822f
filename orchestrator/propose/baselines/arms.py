"""The arms of a round: the loop and the baselines that it is compared with. How many each chooses, and in turn: armed_choice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np

from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.structures import match_prototype
from crystalloop.models.draw.proposal import Base, Kind, Proposal
from crystalloop.models.draw.target import Target
from crystalloop.models.generate.funnel import Filter, first_of_equals, is_new, run_funnel
from crystalloop.models.generate.ion_exchange import ion_exchanged
from crystalloop.orchestrator.acquire.base import Acquirer, Scored
from crystalloop.orchestrator.acquire.ucb import Ucb

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

AT_A_TIME = 64
"""Exchanged crystals that go through the screen together."""
MOST_LOOKED_AT = 4_000
"""Exchanged crystals that are looked at for one choice; those after them are unlikely."""
Says = Callable[[Sequence[Proposal]], Sequence[Proposal]]
"""The same crystals in the same order with somebody's predictions and error bars."""


@dataclass(frozen=True)
class Offered:
    """What the arms of one round choose from.

    Attributes:
        round: its number; together with the campaign's seed it decides every draw.
        target: what is looked for.
        ranked: what came through the loop's funnel, with its predictions.
        screened: what came through the same funnel without a word of the networks on the target.
        parents: known compounds, to exchange ions in.
        known: crystals that need not be computed.
        says: of no_feedback and trees_ucb, who predicts for them; an arm without cannot choose in this round.
        rank: the loop's predictions of crystals that it did not draw itself; None where it has none.
    """

    round: int
    target: Target
    ranked: Sequence[Proposal]
    screened: Sequence[Proposal]
    parents: Sequence[Base] = ()
    known: KnownCrystals = field(default_factory=KnownCrystals)
    says: Mapping[str, Says] = field(default_factory=dict)
    rank: Says | None = None


class Arm(Protocol):
    """Chooses for its own seats.

    Every arm promises: at most `count` proposals, none of which is in `taken`, none twice, each with a finite score; the same
    offer and state of `rng` give the same choice.
    """

    def choose(self, offered: Offered, count: int, taken: KnownCrystals, rng: np.random.Generator) -> Scored:
        """Up to `count` proposals with their scores, in the order in which they were chosen."""


@dataclass(frozen=True)
class RankedArm:
    """Lets an acquirer choose: the loop by its own predictions, a baseline by somebody else's.

    Attributes:
        acquirer: who chooses.
        name: whose predictions of `Offered.says`; None for those that the loop has made.
    """

    acquirer: Acquirer
    name: str | None = None

    def choose(self, offered: Offered, count: int, taken: KnownCrystals, rng: np.random.Generator) -> Scored:
        """The crystals themselves keep the loop's predictions, so that every arm's crystals test them."""
        own = offered.ranked if self.name is None else offered.screened
        free = [one for one in own if not taken.knows(one.crystal)]
        said = free if self.name is None else offered.says[self.name](free)
        back = {id(one): at for at, one in enumerate(said)}
        chosen = self.acquirer.choose(said, offered.target, count, rng)
        return [(free[back[id(one)]], score) for one, score in chosen]


@dataclass(frozen=True)
class RandomArm:
    """Draws uniformly from what passed the screen."""

    def choose(self, offered: Offered, count: int, taken: KnownCrystals, rng: np.random.Generator) -> Scored:
        """Without replacement; the score is 0 for each."""
        order = rng.permutation(len(offered.screened))
        free = (offered.screened[place] for place in order if not taken.knows(offered.screened[place].crystal))
        return [(one, 0.0) for one in islice(free, count)]


@dataclass(frozen=True)
class IonExchangeArm:
    """Exchanges ions in known compounds, the likeliest first; see models.generate.ion_exchange.

    Attributes:
        elements: that a crystal may consist of.
        formulas: anonymous formulas that are wanted; None for all.
        screen: the loop's filters that ask nothing of networks.
    """

    elements: Collection[str]
    formulas: Collection[str] | None = None
    screen: tuple[Filter[Proposal], ...] = ()

    def choose(self, offered: Offered, count: int, taken: KnownCrystals, rng: np.random.Generator) -> Scored:
        """The score is the probability of the exchange."""
        seed = int(rng.integers(2**31))
        made = ion_exchanged(offered.parents, self.elements, self.formulas, seed)
        kept = self._screened(islice(made, MOST_LOOKED_AT), offered, taken)
        chosen = [named(one) for one in islice(kept, count)]
        told = chosen if offered.rank is None else offered.rank(chosen)
        return [(after, before.confidence) for after, before in zip(told, chosen, strict=True)]

    def _screened(self, made: Iterator[Proposal], offered: Offered, taken: KnownCrystals) -> Iterator[Proposal]:
        filters = (*self.screen, is_new(offered.known), is_new(taken), first_of_equals())
        while some := list(islice(made, AT_A_TIME)):
            yield from run_funnel(some, filters).survivors


def arm_chooser(
    name: str,
    acquirer: Acquirer,
    elements: Collection[str] = (),
    formulas: Collection[str] | None = None,
    screen: tuple[Filter[Proposal], ...] = (),
) -> Arm:
    """The arm of a name, for campaigns and laboratories alike.

    Args:
        name: loop, random, ion_exchange, no_feedback or trees_ucb.
        acquirer: the loop's, which `no_feedback` uses, too.
        elements: that ion exchange may use.
        formulas: anonymous formulas that ion exchange may make; None for all.
        screen: filters of what ion exchange makes.

    Raises:
        ValueError: there is no such arm.
    """
    made: dict[str, Arm] = {
        "loop": RankedArm(acquirer),
        "random": RandomArm(),
        "ion_exchange": IonExchangeArm(elements, formulas, screen),
        "no_feedback": RankedArm(acquirer, "no_feedback"),
        "trees_ucb": RankedArm(Ucb(1.0), "trees_ucb"),
    }
    if name not in made:
        raise ValueError(f"no arm {name!r}; there are {', '.join(made)}")
    return made[name]


def named(proposal: Proposal) -> Proposal:
    """With the prototype that its structure is; a decoration has it."""
    return (
        proposal if proposal.kind is Kind.DECORATED else replace(proposal, prototype=prototype_of(proposal.structure))
    )


def prototype_of(structure: Structure) -> str | None:
    """Its name; None for a structure that is none."""
    found = match_prototype(structure)
    return str(found) if found else None
