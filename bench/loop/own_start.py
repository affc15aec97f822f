"""The product's own choice over the 63 light AB crystals whose energies are known: own first batch, then ranked. Prints JSON.

    python bench/loop/own_start.py DATA/pwx_light_AB.json [--seeds 5] [--charge-balance] [--set KEY=VALUE ...]

Every round is chosen as in a cold campaign: decorations of the prototypes, the screen, a diverse first batch, then the ranking
and the acquisition of the campaign. Networks take no part; of the first labels they know nothing.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.draw.proposal import Proposal
from crystalloop.orchestrator.acquire.by_name import acquirer_of
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.propose.cold_start import choose_decorated, decorated_pool
from crystalloop.orchestrator.propose.door import forecast_of
from crystalloop.orchestrator.propose.history import Past
from crystalloop.orchestrator.propose.informed import Informed
from crystalloop.orchestrator.propose.ranking import Ranker

ROUNDS, BATCH, HIT_EV = 4, 6, -1.5


@dataclass(frozen=True)
class Run:
    """One seed: hits of each round, the mean error of its predictions in eV/atom, processor seconds of pw.x."""

    hits: list[int]
    error_ev: list[float | None]
    cpu_s: float


def campaign_of(seed: int, charge_balance: bool, changes: list[str]) -> Campaign:
    """The campaign over the table's space."""
    spec: dict[str, Any] = {
        "name": "light",
        "seed": seed,
        "elements": ["Li", "Na", "Mg", "Al", "O", "F", "Cl"],
        "prototypes": ["rocksalt_B1", "CsCl_B2", "zincblende_B3"],
        "target": {"property": E_F, "maximum": HIT_EV, "direction": "minimise"},
        "filters": {"charge_balance": charge_balance},
        "dft": {"per_round": BATCH},
    }
    for change in changes:
        path, _, value = change.partition("=")
        *folders, key = path.split(".")
        place = spec
        for folder in folders:
            place = place.setdefault(folder, {})
        place[key] = yaml.safe_load(value)
    return Campaign.model_validate(spec)


def run(campaign: Campaign, truth: dict[tuple[str, str], dict[str, Any]]) -> Run:
    """Choose, look up, and choose again."""
    pool, ranker, acquirer = decorated_pool(campaign), Ranker(campaign), acquirer_of(campaign.acquire)
    past: list[Past] = []
    hits, errors, known = [], [], KnownCrystals()
    for round_ in range(1, ROUNDS + 1):
        if round_ == 1:
            batch = [one for one, _ in choose_decorated(campaign, pool, known, BATCH).chosen]
        else:
            left = choose_decorated(campaign, pool, known, len(pool)).chosen
            ranked = ranker.rank([one for one, _ in left], tuple(past))
            rng = np.random.default_rng([campaign.seed, round_, 3])
            chosen = Informed(acquirer, tuple(past)).choose(ranked, campaign.target, BATCH, rng)
            batch = [one for one, _ in chosen]
        found = [_computed(one, round_, truth, campaign) for one in batch]
        for one in batch:
            known.add(one.crystal)
        past += found
        hits.append(sum(one.values.get(E_F, 9.0) <= HIT_EV for one in found))
        missed = [abs(p.forecast.mean - p.values[E_F]) for p in found if p.forecast is not None and E_F in p.values]
        errors.append(round(float(np.mean(missed)), 3) if missed else None)
    return Run(hits, errors, round(sum(one.cost_s for one in past), 1))


def _computed(one: Proposal, round_: int, truth: dict[tuple[str, str], dict[str, Any]], campaign: Campaign) -> Past:
    row = truth[one.formula, str(one.prototype)]
    values = {} if row["e_f"] is None else {E_F: float(row["e_f"])}
    name = f"{one.formula}:{one.prototype}"
    forecast = forecast_of(one, campaign.target)
    return Past(name, one.crystal, one.prototype, round_, "loop", values, forecast, float(row["cpu_s"]))


def main() -> None:
    """Print every seed, the mean of their hits, and its standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--charge-balance", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    rows = json.loads(given.table.read_text())
    truth = {(row["formula"], row["prototype"]): row for row in rows}
    runs = [run(campaign_of(seed, given.charge_balance, given.set), truth) for seed in range(given.seeds)]
    totals = np.array([sum(one.hits) for one in runs], dtype=float)
    possible = sum(row["e_f"] is not None and row["e_f"] <= HIT_EV for row in rows)
    told = {
        "hits_there_are": possible,
        "runs": [vars(one) for one in runs],
        "hits": float(totals.mean()),
        "standard_error": float(totals.std(ddof=1) / len(totals) ** 0.5) if len(totals) > 1 else None,
        "least": float(totals.min()),
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
