"""Deals a round's relaxations to the arms and lets each choose in turn; what baselines start from. The arms: arms."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from crystalloop.db.ledger.campaigns import ModelVersion
from crystalloop.db.ledger.names import version_id
from crystalloop.models.crystals.compounds import parse_compound
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.crystals.structures import decorate
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.draw.proposal import Base, Proposal
from crystalloop.models.generate.funnel import (
    Filter,
    is_new,
    run_funnel,
    unique,
    valid_distances,
    wanted_formula,
)
from crystalloop.orchestrator.acquire.base import Acquirer, Scored
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.propose.ask import Ask
from crystalloop.orchestrator.propose.baselines.arms import Arm, Offered, RandomArm, Says, arm_chooser, named
from crystalloop.orchestrator.propose.baselines.seats import seats
from crystalloop.orchestrator.propose.cold_start import Choice, Spread, balanced, choose_decorated
from crystalloop.orchestrator.propose.history import PastResults

if TYPE_CHECKING:
    from crystalloop.orchestrator.propose.ranking import Ranker  # scikit-learn: two seconds that a plan does without

KNOWN_BELOW_EV = 0.0
"""Formation energy, eV/atom, below which a computed crystal counts as a compound that ions are exchanged in."""


@dataclass(frozen=True)
class ArmedChooser:
    """Deals a round's seats to the arms, and lets each choose in turn.

    The arms choose one after the other, another one first in every round; what one has chosen is not offered to the next. A
    crystal that two of them want is computed once and credited to the one whose turn came first. A seat that an arm cannot
    fill goes to the others, in the same order; one that nobody can fill is drawn at random from the screen.

    Attributes:
        shares: of every arm.
        arms: each by its name.
        seed: the campaign's.
    """

    shares: Mapping[str, float]
    arms: Mapping[str, Arm]
    seed: int

    def choose(self, offered: Offered, spent: Mapping[str, int], count: int) -> tuple[Scored, str]:
        """Up to `count` proposals, each with its arm's name, and a sentence on seats that were left to others.

        Args:
            offered: what there is.
            spent: relaxations that each arm was given in earlier rounds.
            count: of this round.
        """
        able = [name for name, share in self.shares.items() if share > 0 and _is_able(name, offered)]
        given = seats(self.shares, spent, count, able)
        turn = offered.round % max(1, len(given))
        order = [*list(given)[turn:], *list(given)[:turn]]
        taken, chosen = KnownCrystals(), list[tuple[Proposal, float]]()
        for name in order:
            chosen += self._ask(name, offered, given[name], taken)
        for name in (*order, "random"):
            chosen += self._ask(name, offered, count - len(chosen), taken)
        return chosen, _shortages(given, chosen)

    def _ask(self, name: str, offered: Offered, count: int, taken: KnownCrystals) -> Scored:
        """What one arm chooses, under its name; the draws of an arm do not depend on which others there are."""
        if count <= 0:
            return []
        rng = np.random.default_rng([self.seed, offered.round, 59, *name.encode()])
        arm = self.arms.get(name, RandomArm())
        found = [(replace(one, arm=name), score) for one, score in arm.choose(offered, count, taken, rng)]
        for one, _ in found:
            taken.add(one.crystal)
        return found


def _shortages(given: Mapping[str, int], chosen: Scored) -> str:
    """Which arms found fewer than their seats; empty where none did."""
    found = {name: sum(one.arm == name for one, _ in chosen) for name in given}
    short = [f"{name} found {found[name]} for its {n}" for name, n in given.items() if found[name] < n]
    return f"arms: {', '.join(short)}; other arms chose in their place" if short else ""


def _is_able(name: str, offered: Offered) -> bool:
    """Whether an arm has something to choose by."""
    if name == "ion_exchange":
        return bool(offered.parents)
    return name in ("loop", "random") or name in offered.says


def known_compounds(training: Corpus, bases: Sequence[str]) -> list[Base]:
    """Compounds to exchange ions in: the bases that a user names, crystals of data files, and what pw.x found to be bound.

    Of a crystal with a formation energy, it lies below KNOWN_BELOW_EV; a data file's crystal without one counts. Decorations
    that nobody has computed do not: that they exist is not known.
    """
    e_f = training.labels[:, PROPERTIES.index(E_F)]
    places = [at for at, name in enumerate(training.ids) if name != "decorated" and not e_f[at] >= KNOWN_BELOW_EV]
    found = [
        Base(training.formulas[at], training.crystals[at], None if np.isnan(e_f[at]) else float(e_f[at]))
        for at in places
    ]
    named = [(base, parse_compound(base)) for base in bases]
    return found + [Base(text, Crystal.from_structure(decorate(one.prototype, one.elements))) for text, one in named]


@dataclass(frozen=True)
class Predictors:
    """The networks of a round.

    Attributes:
        version: that is the newest.
        predict: proposals with the predictions of a version.
        ranker: says what the loop expects of them beside.
        history: what came of the candidates before.
    """

    version: ModelVersion
    predict: Callable[[Sequence[Proposal], ModelVersion], list[Proposal]]
    ranker: Ranker
    history: PastResults

    def of(self, number: int) -> Says:
        """The word of the campaign's version of this number alone, whatever was found since."""
        asked = self.version.model_copy(update={"id": version_id(self.version.campaign, number)})
        alone = self.ranker.of(None)
        return lambda proposals: alone.rank(self.predict(proposals, asked), ())

    def newest(self) -> Says:
        """The loop's word."""
        return lambda proposals: self.ranker.rank(self.predict(proposals, self.version), self.history)


class CampaignArms:
    """The arms of a campaign, as its file shares the relaxations out.

    Args:
        campaign: its shares, target and screen.
        formulas: anonymous formulas that are wanted.
        spent: number of a round -> relaxations that each arm was given before it.
        tell: hears, in a sentence, which arms found fewer crystals than their seats.
    """

    def __init__(
        self,
        campaign: Campaign,
        formulas: Collection[str],
        spent: Callable[[int], Mapping[str, int]],
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self._campaign, self._formulas, self._spent, self._tell = campaign, formulas, spent, tell

    def choose(self, offered: Offered, acquirer: Acquirer, count: int) -> Scored:
        """See ArmedChooser.choose; `acquirer` is the loop's."""
        campaign = self._campaign
        shares = campaign.arms.shares()
        arms = {n: arm_chooser(n, acquirer, campaign.elements, self._formulas, self._screen()) for n in shares}
        chosen, note = ArmedChooser(shares, arms, campaign.seed).choose(offered, self._spent(offered.round), count)
        if note and self._tell is not None:
            self._tell(note)
        return chosen

    def choose_decorated(
        self,
        ask: Ask,
        pool: Sequence[Proposal],
        trees: Says | None = None,
    ) -> Choice:
        """A round without networks, of which the loop's share is a diverse few of the decorations."""

        def choose(survivors: Sequence[Proposal]) -> Scored:
            offered = self.offered(ask, survivors, survivors, None, trees)
            return self.choose(offered, Spread(), ask.count)

        return choose_decorated(self._campaign, pool, ask.known, ask.count, choose)

    def offered(
        self,
        ask: Ask,
        ranked: Sequence[Proposal],
        screened: Sequence[Proposal],
        networks: Predictors | None = None,
        trees: Says | None = None,
    ) -> Offered:
        """What the arms of a round choose from.

        Args:
            ask: its number, and what is known.
            ranked: what came through the loop's funnel.
            screened: what came through the same without the networks' word on the target, see `screened`.
            networks: None before there are any.
            trees: the word of trees fitted to what is known so far; None where there is too little to fit.
        """
        says: dict[str, Says] = {} if trees is None else {"trees_ucb": trees}
        if networks is not None:
            says["no_feedback"] = networks.of(1)
        return Offered(
            ask.round,
            self._campaign.target,
            ranked,
            screened,
            known_compounds(ask.training, self._campaign.bases),
            ask.known,
            says,
            None if networks is None else networks.newest(),
        )

    def screened(self, drawn: Sequence[Proposal], known: KnownCrystals) -> list[Proposal]:
        """What comes through the loop's funnel without a word of the networks on the target."""
        filters = (*self._screen(), is_new(known), unique())
        return [named(one) for one in run_funnel(drawn, filters).survivors]

    def _screen(self) -> tuple[Filter[Proposal], ...]:
        """What the funnel asks of a crystal alone, without a word of the networks."""
        campaign = self._campaign
        wanted = wanted_formula(campaign.elements, self._formulas, campaign.generate.max_atoms)
        return (valid_distances(), wanted, *balanced(campaign))
