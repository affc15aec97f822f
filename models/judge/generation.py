"""Rows about new crystals: validity, the funnel of Table 2, conditions, speed. Drawing is `models.generate.density_vae`'s."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.formulas import anonymous_counts, reduced_counts
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.draw.conditioning import near_energy
from crystalloop.models.draw.proposal import Base, Draws, Proposal
from crystalloop.models.generate.funnel import Filter, keeping, run_funnel
from crystalloop.models.judge.drawn import Drawn, EnergyOf, distinct_structures
from crystalloop.models.judge.metrics import decile_of, deciles_obeyed, mean, share, spearman
from crystalloop.models.judge.rows import FUNNEL_STAGES, Row
from crystalloop.models.nets.configs import DECILES


def sample_rows(drawn: Drawn, known: KnownCrystals) -> list[Row]:
    """Validity, energy below zero, uniqueness and novelty of prior samples."""
    count, failures = len(drawn.proposals), drawn.failures
    seed, strict = drawn.valid_seed, drawn.valid_strict
    low, high = drawn.window_ang3
    window = f"volume window {low:.1f} to {high:.1f} A^3 per atom"
    paper, ours = drawn.crystals(seed), drawn.crystals(strict)
    rows = [
        Row("valid", share(seed.sum(), count - failures), share(strict.sum(), count), count, failures, note=window),
        Row(
            "unique",
            share(distinct_structures(paper), len(paper)),
            share(len({reduced_counts(crystal) for crystal in ours}), len(ours)),
            len(ours),
        ),
        Row(
            "novel",
            share(sum(not known.knows(crystal) for crystal in paper), len(paper)),
            share(sum(not known.has_formula(crystal) for crystal in ours), len(ours)),
            len(ours),
        ),
    ]
    if drawn.has_energies:
        below = drawn.e_f_ev < 0
        rows.append(
            Row(
                "negative_e_f",
                share((below & seed).sum(), seed.sum()),
                share((below & strict).sum(), strict.sum()),
                int(strict.sum()),
            )
        )
    return rows


def decile_rows(fresh: Drawn, same_noise: Drawn, edges_ev: Sequence[float]) -> list[Row]:
    """Whether the requested decile is obeyed, by the prediction of a network that the generator never saw.

    Args:
        fresh: prior samples, their conditions in turn.
        same_noise: the same latents under all ten conditions, decile fastest.
        edges_ev: inner edges of the deciles, eV/atom.
    """
    count = len(fresh.proposals)
    predicted = decile_of(fresh.e_f_ev, edges_ev)
    seed = deciles_obeyed(fresh.requested[fresh.read], predicted[fresh.read])
    strict = deciles_obeyed(fresh.requested, np.where(fresh.valid_strict, predicted, -1))
    invalid = int((~fresh.valid_strict).sum())
    again = decile_of(np.where(same_noise.valid_strict, same_noise.e_f_ev, np.nan), edges_ev)
    exact, near = deciles_obeyed(same_noise.requested, again)
    of_all = len(same_noise.proposals)
    return [
        Row("decile_exact", share(seed[0], fresh.read.sum()), share(strict[0], count), count, invalid),
        Row("decile_within_one", share(seed[1], fresh.read.sum()), share(strict[1], count), count, invalid),
        Row("decile_spearman", _rank(fresh, fresh.read), _rank(fresh, fresh.valid_strict), count, invalid),
        Row(
            "decile_same_noise",
            _rank_of_each(same_noise, same_noise.read),
            _rank_of_each(same_noise, same_noise.valid_strict),
            of_all,
            int((~same_noise.valid_strict).sum()),
            {"decile exact": share(exact, of_all), "decile within one": share(near, of_all)},
        ),
    ]


def _rank(drawn: Drawn, kept: NDArray[np.bool_]) -> float:
    """Rank correlation of requested decile and predicted energy over the draws kept, [d]."""
    return spearman(drawn.requested[kept].astype(float), drawn.e_f_ev[kept])


def _rank_of_each(drawn: Drawn, kept: NDArray[np.bool_]) -> float:
    """Mean over latents, each under ten conditions; those with fewer than three crystals have none."""
    requested = drawn.requested.reshape(-1, DECILES).astype(float)
    energies = np.where(kept, drawn.e_f_ev, np.nan).reshape(-1, DECILES)
    return mean(spearman(one, other) for one, other in zip(requested, energies, strict=True))


def funnel_rows(drawn: Drawn, bases: Sequence[Base], which: NDArray[np.int64], known: KnownCrystals) -> list[Row]:
    """Table 2 in two columns: what is left of all draws after every stage.

    Args:
        drawn: draws around the bases; without energies the last two stages are left out.
        bases: with their known formation energies.
        which: index of each draw's base, [d].
        known: the training part.
    """
    seed = _funnel(drawn, bases, which, drawn.valid_seed, known.knows, per_base=True)
    strict = _funnel(drawn, bases, which, drawn.valid_strict, known.has_formula, per_base=False)
    count = len(drawn.proposals)
    each = share(count, len(bases))
    rows = []
    for stage, mine, ours in zip(FUNNEL_STAGES, seed, strict, strict=True):
        if stage in FUNNEL_STAGES[3:] and not drawn.has_energies:
            continue
        parts = {"seed left per base": share(mine, len(bases)), "strict left per base": share(ours, len(bases))}
        note = f"{len(bases)} bases, {each:.0f} draws each" if stage == FUNNEL_STAGES[0] else ""
        rows.append(Row(f"funnel_{stage}", share(mine, count), share(ours, count), count, drawn.failures, parts, note))
    return rows


@dataclass(frozen=True)
class _Round:
    """A crystal, the number of the base that it was drawn around, its predicted formation energy in eV/atom."""

    crystal: Crystal
    base: int
    e_f_ev: float


def _funnel(
    drawn: Drawn,
    bases: Sequence[Base],
    which: NDArray[np.int64],
    valid: NDArray[np.bool_],
    is_known: Callable[[Crystal], bool],
    *,
    per_base: bool,
) -> list[int]:
    """How many draws are left after each stage."""
    each = zip(drawn.proposals, which, drawn.e_f_ev, valid, strict=True)
    left = [_Round(p.crystal, int(base), float(e_f)) for p, base, e_f, ok in each if ok and p]
    shapes = [anonymous_counts(base.crystal) for base in bases]
    near = [near_energy(base.e_f_ev) for base in bases]
    filters: tuple[Filter[_Round], ...] = (
        keeping("formula", lambda one: anonymous_counts(one.crystal) == shapes[one.base]),
        keeping("new", lambda one: not is_known(one.crystal)),
        keeping("energy", lambda one: bool(near[one.base]) and near[one.base][0].holds(one.e_f_ev)),
        Filter("unique", _of_other_formulas(per_base=per_base)),
    )
    return [count for _, count in run_funnel(left, filters, found_as="valid").counts[1:]]


def _of_other_formulas(*, per_base: bool) -> Callable[[Sequence[_Round]], list[_Round]]:
    """One crystal of each reduced formula, or of each round each base."""
    return lambda left: list({(reduced_counts(one.crystal), one.base if per_base else 0): one for one in left}.values())


def speed_rows(
    made: Callable[[], tuple[Draws, Sequence[Proposal | None]]], predict: EnergyOf | None
) -> tuple[list[Row], Draws, list[Proposal | None]]:
    """Time one generation; also what was drawn and made.

    Args:
        made: draws, decodes, segments, reads and symmetrises; called once.
        predict: the eight properties; None without a CGCNN.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    draws, proposals = made()
    crystals = [proposal.crystal for proposal in proposals if proposal is not None]
    if predict is not None and crystals:
        predict(crystals)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    count, read = len(proposals), len(crystals)
    note = "" if predict is not None else "without the eight properties: there is no CGCNN"
    rows = [
        Row("candidates_per_s", share(count, wall), share(read, wall), count, count - read, note=note),
        Row("cpu_ms", share(1e3 * cpu, count), share(1e3 * cpu, read), count, count - read, note=note),
    ]
    return rows, draws, list(proposals)
