"""The loop's proposer: bases and conditions, latents decoded by actors, the funnel, the choice. Ray is met in actors only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalloop.db.ledger.campaigns import ModelVersion
from crystalloop.models.crystals.chemistry import charges_balance
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.draw.proposal import Base, Kind, Proposal, Proposals
from crystalloop.models.draw.target import Target, ValueOf
from crystalloop.models.generate.base import DrawRequest, Rows
from crystalloop.models.generate.funnel import (
    Filter,
    is_new,
    near_target,
    run_funnel,
    unique,
    valid_distances,
    wanted_formula,
)
from crystalloop.models.surrogate.trees import Trees
from crystalloop.orchestrator.acquire.base import Acquirer
from crystalloop.orchestrator.acquire.greedy import Greedy
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.loop.events import EventListener, Redrawing
from crystalloop.orchestrator.loop.nets import NETS, is_far, shortage, wider
from crystalloop.orchestrator.propose.actors import RayRuntime
from crystalloop.orchestrator.propose.ask import Ask
from crystalloop.orchestrator.propose.baselines.armed_choice import CampaignArms, Predictors
from crystalloop.orchestrator.propose.baselines.arms import Says, named, prototype_of
from crystalloop.orchestrator.propose.cold_start import (
    Choice,
    anonymous_formulas,
    balanced,
    choose_decorated,
    decorated_pool,
)
from crystalloop.orchestrator.propose.informed import Informed
from crystalloop.orchestrator.propose.ranking import Ranker
from crystalloop.orchestrator.propose.requests import DRAWS_PER_CALL, draw_requests

BASES_PER_ROUND = 24
"""Base compounds of a round: half of them the best known, half not computed yet and predicted best."""
ENUMERATED = 5_000
"""Decorations that are all ranked in every round; of more, so many are drawn where a round finds too few without them."""


class CandidateProposer:
    """Proposes the candidates of one campaign; see door.Chooser.

    Args:
        campaign: what is looked for.
        models: folder of the model versions.
        runtime: its actors generate and predict.
        ranker: says what they will be; None leaves them as the networks predicted them.
        acquirer: chooses among those that came through the funnel.
        tell: hears where a wider net is cast.
        start: starts the runtime, where something is to be done beside; None for its own `start`.
        arms: deals the seats where baselines take part; None where the loop has all.
    """

    def __init__(
        self,
        campaign: Campaign,
        models: Path,
        runtime: RayRuntime,
        ranker: Ranker | None = None,
        acquirer: Acquirer | None = None,
        tell: EventListener | None = None,
        start: Callable[[], None] | None = None,
        arms: CampaignArms | None = None,
    ) -> None:
        self._campaign, self._models, self._runtime = campaign, models, runtime
        self._ranker = Ranker(campaign) if ranker is None else ranker
        self._acquirer = Greedy() if acquirer is None else acquirer
        self._tell, self._start = tell, runtime.start if start is None else start
        self._pool = decorated_pool(campaign)
        self._formulas = anonymous_formulas(self._pool)
        self._arms = arms

    def propose(self, ask: Ask) -> Choice:
        """At most as many candidates as asked for; from decorated prototypes without a version, else from its networks."""
        if ask.version is None:
            if self._arms is not None:
                return self._arms.choose_decorated(ask, self._pool, self._trees(ask))
            return choose_decorated(self._campaign, self._pool, ask.known, ask.count)
        self._start()
        return self._with_model(ask, ask.version)

    def _with_model(self, ask: Ask, version: ModelVersion) -> Choice:
        """Cast one net after the other until there are enough; each keeps what the ones before it drew."""
        round_, training, known, count = ask.round, ask.training, ask.known, ask.count
        rng = np.random.default_rng([self._campaign.seed, round_, 3])
        name = self._campaign.target.property
        values = training.values(name) if name in PROPERTIES else []  # no label of another is a bar to be passed
        far = _leads_nowhere(self._campaign.target, training)
        decorations = len(self._pool) <= ENUMERATED
        drawn, generated, place = self._decorated(version, rng) if decorations else [], 0, 0
        while True:
            requests = self._requests(round_, training, known, version, place)
            drawn += self._drawn(requests, version)
            generated += sum(request.count for request in requests)
            if NETS[place].sigmas == inf and not decorations:
                drawn += self._decorated(version, rng)
            funnel = run_funnel(drawn, self._filters(values, ask, place), generated + _decorations(drawn))
            following = wider(place, len(funnel.survivors), count, far)
            if following is None:
                break
            if self._tell is not None:
                self._tell(Redrawing(round_, len(funnel.survivors), count, NETS[following].name))
            place = following
        # Only now: symmetry is not to be found in crystals whose atoms lie on top of each other.
        survivors = [named(one) for one in funnel.survivors]
        acquirer = Informed(self._acquirer, ask.history)
        if self._arms is None:
            chosen = acquirer.choose(survivors, self._campaign.target, count, rng)
        else:
            screened = self._ranker.rank(self._arms.screened(drawn, known), ask.history)
            networks = Predictors(version, self._predicted, self._ranker, ask.history)
            offered = self._arms.offered(ask, survivors, screened, networks, self._trees(ask))
            chosen = self._arms.choose(offered, acquirer, count)
        return Choice(funnel.counts, tuple(chosen), shortage(len(chosen), count, far))

    def _trees(self, ask: Ask) -> Says | None:
        """The word of trees on what is known so far, for the arm that goes by it; None where there is too little."""
        if self._campaign.arms.trees_ucb == 0 or not self._ranker.has_labels(ask.history):
            return None
        trees = self._ranker.of(Trees(self._campaign.surrogate.trees))
        return lambda proposals: trees.rank(
            [replace(one, predicted={}, sigma=None, sigmas={}) for one in proposals], ask.history
        )

    def _filters(self, values: Sequence[float], ask: Ask, place: int) -> tuple[Filter[Proposal], ...]:
        """In the order of the paper's Table 2, with the balance of charges after the formula, ranked where values count."""
        campaign = self._campaign
        near = near_target(campaign.target, values, NETS[place].sigmas)
        return (
            valid_distances(),
            wanted_formula(campaign.elements, self._formulas, campaign.generate.max_atoms),
            *balanced(campaign),
            is_new(ask.known),
            Filter(near.name, lambda found: near.keep(self._ranker.rank(found, ask.history))),
            unique(),
        )

    def _decorated(self, version: ModelVersion, rng: np.random.Generator) -> list[Proposal]:
        """Decorations with predictions, ENUMERATED at most; of equal crystals a drawn one is preferred."""
        count = min(ENUMERATED, len(self._pool))
        places = range(count) if count == len(self._pool) else sorted(rng.choice(len(self._pool), count, replace=False))
        return self._predicted([replace(self._pool[i], confidence=0.0) for i in places], version)

    def _drawn(self, requests: Sequence[DrawRequest], version: ModelVersion) -> list[Proposal]:
        """What the networks make of requests, with predictions."""
        if not requests:
            return []
        folder = self._models / version.id
        batches: list[Proposals] = self._runtime.actors().generators.map("generate", folder, requests)
        return self._predicted([proposal for batch in batches for proposal in batch.made], version)

    def _requests(
        self, round_: int, training: Corpus, known: KnownCrystals, version: ModelVersion, place: int
    ) -> list[DrawRequest]:
        """The draws of one net; none for a net without any."""
        if not NETS[place].draws:
            return []
        bases = self._bases(training, known, self._models / version.id, place)
        return draw_requests(self._campaign, round_, training, bases, place)

    def _bases(self, training: Corpus, known: KnownCrystals, folder: Path, place: int) -> list[Base]:
        """The compounds to generate around: the best known, and the uncomputed that the CGCNN thinks best.

        A wider net takes the next best ones, where there are more.
        """
        elements, target = set(self._campaign.elements), self._campaign.target.for_networks()
        known_values = training.labels[:, PROPERTIES.index(target.property)]
        mine = [i for i, crystal in enumerate(training.crystals) if set(crystal.composition) <= elements]
        computed = [i for i in mine if not np.isnan(known_values[i])]
        merits = target.merits_of([_labels(training.labels[i]) for i in computed])
        computed = [computed[i] for i in np.argsort(-merits, kind="stable")]
        open_ = [i for i in mine if np.isnan(known_values[i]) and not known.knows(training.crystals[i])]
        if self._campaign.filters.charge_balance:
            open_ = [i for i in open_ if charges_balance(training.crystals[i])]
        rows, _ = self._predict([training.crystals[i] for i in open_], folder)
        merits = target.merits_of([row.get for row in rows])
        order = np.argsort(-merits, kind="stable")
        best_open = [open_[i] for i in order]
        half = BASES_PER_ROUND // 2
        if place:  # what the first net had goes to the end
            computed, best_open = (each[half:] + each[:half] for each in (computed, best_open))
        picked = (
            computed[: max(half, BASES_PER_ROUND - len(best_open))]
            + best_open[: max(half, BASES_PER_ROUND - len(computed))]
        )
        return [_base(training, i) for i in picked[:BASES_PER_ROUND]]

    def _predicted(self, proposals: Sequence[Proposal], version: ModelVersion) -> list[Proposal]:
        """Proposals with their predictions and where they come from."""
        rows, sigmas = self._predict([proposal.crystal for proposal in proposals], self._models / version.id)
        return [
            replace(
                proposal,
                model_version=version.id,
                seed=self._campaign.seed,
                predicted=row,
                sigma=sigma.get(E_F),
                sigmas=sigma,
            )
            for proposal, row, sigma in zip(proposals, rows, sigmas, strict=True)
        ]

    def _predict(self, crystals: Sequence[Crystal], folder: Path) -> Rows:
        batches = [list(crystals[i : i + DRAWS_PER_CALL]) for i in range(0, len(crystals), DRAWS_PER_CALL)]
        rows: list[dict[str, float | None]] = []
        sigmas: list[dict[str, float | None]] = []
        for some_rows, some_sigmas in self._runtime.actors().screeners.map("predict", folder, batches):
            rows += some_rows
            sigmas += some_sigmas
        return rows, sigmas


def _leads_nowhere(target: Target, training: Corpus) -> bool:
    """Whether one of the wanted ranges is far from everything known of its property."""
    known = [(one, np.array(training.values(one.property))) for one in target.ranges() if one.property in PROPERTIES]
    return any(is_far(one.distance(values).tolist()) for one, values in known)


def _decorations(proposals: Sequence[Proposal]) -> int:
    return sum(one.kind is Kind.DECORATED for one in proposals)


def _labels(labels: NDArray[np.float64]) -> ValueOf:
    """Labels [8] as a look-up."""
    return {name: float(value) for name, value in zip(PROPERTIES, labels, strict=True) if not np.isnan(value)}.get


def _base(training: Corpus, row: int) -> Base:
    crystal, formula, e_f_ev = (
        training.crystals[row],
        training.formulas[row],
        training.labels[row, PROPERTIES.index(E_F)],
    )
    prototype = prototype_of(crystal.to_structure())
    return Base(
        name=f"{formula}:{prototype}" if prototype else formula,
        crystal=crystal,
        e_f_ev=None if np.isnan(e_f_ev) else float(e_f_ev),
    )
