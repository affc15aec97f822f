"""The loop's proposer: bases and conditions, latents decoded by actors, the funnel, the choice. Ray is met in actors only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crystalloop.db.ledger.records import ModelVersion, OriginKind
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_numbers
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.prototypes import match_prototype
from crystalloop.models.draw.proposal import Base, Proposal, Proposals
from crystalloop.models.generate.funnel import (
    Filter,
    is_new,
    near_target,
    run_funnel,
    unique,
    valid_distances,
    wanted_formula,
)
from crystalloop.orchestrator.acquire.greedy import choose
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.learn.training_set import Example, TrainingSet
from crystalloop.orchestrator.propose.actors import RayRuntime, Request
from crystalloop.orchestrator.propose.cold_start import Choice, anonymous_formulas, choose_decorated, decorated_pool

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


BASES = 24
"""Base compounds of a round: half of them the best known, half not computed yet and predicted best."""
BATCH = 64
"""Latents in one actor call: many small calls cost more than the work."""


class CandidateProposer:
    """Proposes the candidates of one campaign; see door.Chooser."""

    def __init__(self, campaign: Campaign, models: Path, runtime: RayRuntime) -> None:
        self._campaign, self._models, self._runtime = campaign, models, runtime
        self._pool = decorated_pool(campaign)
        self._formulas = anonymous_formulas(self._pool)

    def propose(
        self, round_: int, version: ModelVersion | None, training: TrainingSet, known: KnownCrystals, count: int
    ) -> Choice:
        """At most `count` candidates; from decorated prototypes without a version, else from the version's networks."""
        if version is None:
            return choose_decorated(self._campaign, self._pool, known, count)
        self._runtime.start()
        return self._with_model(round_, version, training, known, count)

    def _with_model(
        self,
        round_: int,
        version: ModelVersion,
        training: TrainingSet,
        known: KnownCrystals,
        count: int,
    ) -> Choice:
        folder = self._models / version.id
        bases = self._bases(training, known, folder)
        requests = self._requests(round_, training, bases)
        batches: list[Proposals] = self._runtime.actors().generators.map("generate", folder, requests)
        proposals = [proposal for batch in batches for proposal in batch.made]
        drafts = self._drafts(proposals, version)
        funnel = run_funnel(drafts, self._filters(training, known), generated=sum(r.count for r in requests))
        rng = np.random.default_rng([self._campaign.seed, round_, 3])
        # Only now: symmetry is not to be found in crystals whose atoms lie on top of each other.
        survivors = [replace(draft, prototype=_prototype(draft.structure)) for draft in funnel.survivors]
        chosen = choose(survivors, self._campaign.target, count, rng)
        return Choice(funnel.counts, tuple(chosen))

    def _filters(self, training: TrainingSet, known: KnownCrystals) -> tuple[Filter, ...]:
        """In the order of the paper's Table 2."""
        campaign = self._campaign
        return (
            valid_distances(),
            wanted_formula(campaign.elements, self._formulas, campaign.generate.max_atoms),
            is_new(known),
            near_target(campaign.target, training.values(campaign.target.property)),
            unique(),
        )

    def _bases(self, training: TrainingSet, known: KnownCrystals, folder: Path) -> list[Base]:
        """The compounds to generate around: the best known, and the uncomputed that the CGCNN thinks best."""
        mine = [e for e in training.examples if set(e.structure.symbol_set) <= set(self._campaign.elements)]
        target = self._campaign.target
        computed = [e for e in mine if target.property in e.labels]
        computed.sort(key=lambda e: -target.merit(e.labels[target.property]))
        open_ = [e for e in mine if target.property not in e.labels and not known.knows(e.structure)]
        rows, _ = self._predict([Crystal.from_structure(e.structure) for e in open_], folder)
        values = [row.get(target.property) for row in rows]
        order = np.argsort([-target.merit(v) if v is not None else 0.0 for v in values], kind="stable")
        best_open = [open_[i] for i in order]
        half = BASES // 2
        picked = computed[: max(half, BASES - len(best_open))] + best_open[: max(half, BASES - len(computed))]
        return [_base(example) for example in picked[:BASES]]

    def _requests(self, round_: int, training: TrainingSet, bases: Sequence[Base]) -> list[Request]:
        """Batches of latents: the campaign's shares of random, around and between."""
        generation = self._campaign.generate
        shares = {
            OriginKind.RANDOM: generation.random,
            OriginKind.AROUND: generation.around,
            OriginKind.BETWEEN: generation.between,
        }
        if len(bases) < 2:
            shares[OriginKind.BETWEEN] = 0.0
        if not bases:
            shares[OriginKind.AROUND] = 0.0
            shares[OriginKind.RANDOM] = 1.0
        total = sum(shares.values())
        allowed = tuple(sorted(atomic_numbers()[symbol] for symbol in self._campaign.elements))
        wanted = self._wanted_e_f(training)
        requests: list[Request] = []
        for kind, share in shares.items():
            left = round(generation.per_round * share / total)
            while left > 0:
                size = min(BATCH, left)
                requests.append(
                    Request(
                        kind=str(kind),
                        count=size,
                        seed=int(
                            np.random.SeedSequence([self._campaign.seed, round_, len(requests)]).generate_state(1)[0]
                        ),
                        bases=tuple(bases),
                        wanted_e_f_ev=wanted,
                        scale=generation.scale,
                        allowed=allowed,
                        wanted=self._ranges(),
                    )
                )
                left -= size
        return requests

    def _ranges(self) -> tuple[tuple[str, float, float], ...]:
        """The target's range, where it has one: property, low, high."""
        target = self._campaign.target
        if not target.has_range():
            return ()
        low = -np.inf if target.minimum is None else target.minimum
        return ((target.property, low, np.inf if target.maximum is None else target.maximum),)

    def _wanted_e_f(self, training: TrainingSet) -> float | None:
        """The formation energy to condition on: the middle of the target's range, or the best that is known."""
        target = self._campaign.target
        values = training.values("formation_energy_per_atom")
        if target.property != "formation_energy_per_atom" or not values:
            return None
        ends = [end for end in (target.minimum, target.maximum) if end is not None]
        return float(np.mean(ends)) if ends else max(values, key=target.merit)

    def _drafts(self, proposals: Sequence[Proposal], version: ModelVersion) -> list[Proposal]:
        """Proposals with their predictions and their prototype."""
        rows, sigmas = self._predict([proposal.crystal for proposal in proposals], self._models / version.id)
        return [
            replace(proposal, model_version=version.id, seed=self._campaign.seed, predicted=row, sigma=sigma)
            for proposal, row, sigma in zip(proposals, rows, sigmas, strict=True)
        ]

    def _predict(self, crystals: Sequence[Crystal], folder: Path) -> tuple[list[dict[str, float | None]], list[float]]:
        batches = [list(crystals[i : i + BATCH]) for i in range(0, len(crystals), BATCH)]
        rows: list[dict[str, float | None]] = []
        sigmas: list[float] = []
        for some_rows, some_sigmas in self._runtime.actors().screeners.map("predict", folder, batches):
            rows += some_rows
            sigmas += some_sigmas
        return rows, sigmas


def _prototype(structure: Structure) -> str | None:
    found = match_prototype(structure)
    return str(found) if found else None


def _base(example: Example) -> Base:
    structure = example.structure
    prototype = _prototype(structure)
    formula = str(structure.composition.reduced_formula)
    return Base(
        name=f"{formula}:{prototype}" if prototype else formula,
        crystal=Crystal.from_structure(structure),
        e_f_ev=example.labels.get("formation_energy_per_atom"),
    )
