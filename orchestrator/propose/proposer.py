"""The loop's proposer: bases and conditions, latents decoded by actors, the funnel, the choice. Ray is met in actors only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystalloop.db.ledger.records import ModelVersion
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_numbers
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.crystals.structures import match_prototype
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.draw.proposal import Base, Kind, Proposal, Proposals
from crystalloop.models.draw.target import Range, Target
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
from crystalloop.orchestrator.acquire.base import Acquirer
from crystalloop.orchestrator.acquire.greedy import Greedy
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.propose.actors import RayRuntime
from crystalloop.orchestrator.propose.cold_start import Choice, anonymous_formulas, choose_decorated, decorated_pool

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


BASES_PER_ROUND = 24
"""Base compounds of a round: half of them the best known, half not computed yet and predicted best."""
DRAWS_PER_CALL = 64
"""Latents in one actor call: many small calls cost more than the work."""


class CandidateProposer:
    """Proposes the candidates of one campaign; see door.Chooser.

    Args:
        campaign: what is looked for.
        models: folder of the model versions.
        runtime: its actors generate and predict.
        acquirer: chooses among those that came through the funnel.
    """

    def __init__(self, campaign: Campaign, models: Path, runtime: RayRuntime, acquirer: Acquirer | None = None) -> None:
        self._campaign, self._models, self._runtime = campaign, models, runtime
        self._acquirer = Greedy() if acquirer is None else acquirer
        self._pool = decorated_pool(campaign)
        self._formulas = anonymous_formulas(self._pool)

    def propose(
        self, round_: int, version: ModelVersion | None, training: Corpus, known: KnownCrystals, count: int
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
        training: Corpus,
        known: KnownCrystals,
        count: int,
    ) -> Choice:
        folder = self._models / version.id
        bases = self._bases(training, known, folder)
        requests = self._requests(round_, training, bases)
        batches: list[Proposals] = self._runtime.actors().generators.map("generate", folder, requests)
        proposals = [proposal for batch in batches for proposal in batch.made]
        predicted = self._predicted(proposals, version)
        funnel = run_funnel(predicted, self._filters(training, known), generated=sum(r.count for r in requests))
        rng = np.random.default_rng([self._campaign.seed, round_, 3])
        # Only now: symmetry is not to be found in crystals whose atoms lie on top of each other.
        survivors = [replace(one, prototype=_prototype(one.structure)) for one in funnel.survivors]
        chosen = self._acquirer.choose(survivors, self._campaign.target, count, rng)
        return Choice(funnel.counts, tuple(chosen))

    def _filters(self, training: Corpus, known: KnownCrystals) -> tuple[Filter[Proposal], ...]:
        """In the order of the paper's Table 2."""
        campaign = self._campaign
        return (
            valid_distances(),
            wanted_formula(campaign.elements, self._formulas, campaign.generate.max_atoms),
            is_new(known),
            near_target(campaign.target, training.values(campaign.target.property)),
            unique(),
        )

    def _bases(self, training: Corpus, known: KnownCrystals, folder: Path) -> list[Base]:
        """The compounds to generate around: the best known, and the uncomputed that the CGCNN thinks best."""
        elements, target = set(self._campaign.elements), self._campaign.target
        known_values = training.labels[:, PROPERTIES.index(target.property)]
        mine = [i for i, crystal in enumerate(training.crystals) if set(crystal.composition) <= elements]
        computed = [i for i in mine if not np.isnan(known_values[i])]
        computed.sort(key=lambda i: -target.merit(float(known_values[i])) + 10.0 * _off(training.labels[i], target))
        open_ = [i for i in mine if np.isnan(known_values[i]) and not known.knows(training.crystals[i])]
        rows, _ = self._predict([training.crystals[i] for i in open_], folder)
        values = [row.get(target.property) for row in rows]
        off = [10.0 * target.others_distance(row.get) for row in rows]
        order = np.argsort(
            [-target.merit(v) + o if v is not None else 0.0 for v, o in zip(values, off, strict=True)], kind="stable"
        )
        best_open = [open_[i] for i in order]
        half = BASES_PER_ROUND // 2
        picked = (
            computed[: max(half, BASES_PER_ROUND - len(best_open))]
            + best_open[: max(half, BASES_PER_ROUND - len(computed))]
        )
        return [_base(training, i) for i in picked[:BASES_PER_ROUND]]

    def _requests(self, round_: int, training: Corpus, bases: Sequence[Base]) -> list[DrawRequest]:
        """Batches of latents: the campaign's shares of random, around and between."""
        generation = self._campaign.generate
        shares = {
            Kind.RANDOM: generation.random,
            Kind.AROUND: generation.around,
            Kind.BETWEEN: generation.between,
        }
        if len(bases) < 2:
            shares[Kind.BETWEEN] = 0.0
        if not bases:
            shares[Kind.AROUND] = 0.0
            shares[Kind.RANDOM] = 1.0
        total = sum(shares.values())
        allowed = tuple(sorted(atomic_numbers()[symbol] for symbol in self._campaign.elements))
        energies = self._wanted_energies(training)
        requests: list[DrawRequest] = []
        for kind, share in shares.items():
            left = round(generation.per_round * share / total)
            while left > 0:
                size = min(DRAWS_PER_CALL, left)
                requests.append(
                    DrawRequest(
                        kind=kind,
                        count=size,
                        seed=int(
                            np.random.SeedSequence([self._campaign.seed, round_, len(requests)]).generate_state(1)[0]
                        ),
                        bases=tuple(bases),
                        wanted=self._ranges(),
                        e_f_ev=energies if kind is Kind.RANDOM else None,
                        scale=generation.scale,
                        allowed=allowed,
                    )
                )
                left -= size
        return requests

    def _ranges(self) -> tuple[Range, ...]:
        """The target's ranges of what the networks predict."""
        return tuple(one for one in self._campaign.target.ranges() if one.property in PROPERTIES)

    def _wanted_energies(self, training: Corpus) -> tuple[float, float] | None:
        """The one formation energy to condition on: the middle of the target's range, or the best that is known."""
        target = self._campaign.target
        values = training.values(E_F)
        wanted = next((one for one in (target.as_range(), *target.also) if one.property == E_F), None)
        if wanted is None or not values:
            return None
        ends = [end for end in (wanted.low, wanted.high) if np.isfinite(end)]
        energy = float(np.mean(ends)) if ends else max(values, key=target.merit)
        return energy, energy

    def _predicted(self, proposals: Sequence[Proposal], version: ModelVersion) -> list[Proposal]:
        """Proposals with their predictions and where they come from."""
        rows, sigmas = self._predict([proposal.crystal for proposal in proposals], self._models / version.id)
        return [
            replace(proposal, model_version=version.id, seed=self._campaign.seed, predicted=row, sigma=sigma)
            for proposal, row, sigma in zip(proposals, rows, sigmas, strict=True)
        ]

    def _predict(self, crystals: Sequence[Crystal], folder: Path) -> Rows:
        batches = [list(crystals[i : i + DRAWS_PER_CALL]) for i in range(0, len(crystals), DRAWS_PER_CALL)]
        rows: list[dict[str, float | None]] = []
        sigmas: list[float | None] = []
        for some_rows, some_sigmas in self._runtime.actors().screeners.map("predict", folder, batches):
            rows += some_rows
            sigmas += some_sigmas
        return rows, sigmas


def _prototype(structure: Structure) -> str | None:
    found = match_prototype(structure)
    return str(found) if found else None


def _off(labels: NDArray[np.float64], target: Target) -> float:
    """How far labels [8] are outside the ranges of the target's other properties."""
    known = {name: float(value) for name, value in zip(PROPERTIES, labels, strict=True) if not np.isnan(value)}
    return target.others_distance(known.get)


def _base(training: Corpus, row: int) -> Base:
    crystal, formula, e_f_ev = (
        training.crystals[row],
        training.formulas[row],
        training.labels[row, PROPERTIES.index(E_F)],
    )
    prototype = _prototype(crystal.to_structure())
    return Base(
        name=f"{formula}:{prototype}" if prototype else formula,
        crystal=crystal,
        e_f_ev=None if np.isnan(e_f_ev) else float(e_f_ev),
    )
