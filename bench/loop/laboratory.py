"""Policies and plain baselines in the laboratories of the shared data, same process, calls and seeds. Prints a table and JSON.

    python bench/loop/laboratory.py DATA [--only heuslers ...] [--seeds 10] [--variants] [--barrel FILE] [--campaign FILE]

A trial that is finished is kept in --work, a line each, and not run again: the same command goes on after Ctrl-C. `--variants`
adds the ablations: the default campaign with some keys changed. The summary is written to bench/results/laboratory.json,
laboratory by laboratory: those that are not run this time stay as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))
from loop.baselines import SCORES, baseline
from measure import environment

from crystalloop.models.crystals.elements import atomic_numbers
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.show.simulation.study_progress import StudyProgress, show_study
from crystalloop.orchestrator.simulate.policies import Policy, policy_of, variant_of
from crystalloop.orchestrator.simulate.study import Study, Watcher, run_study
from crystalloop.orchestrator.simulate.trials import Trial, append_trial, read_trials
from crystalloop.orchestrator.simulate.truth.laboratory import Laboratory
from crystalloop.orchestrator.simulate.truth.read import read_laboratory
from crystalloop.orchestrator.simulate.wiring import Rankers, acquirers_for, laboratory_hull

RESULTS = Path(__file__).parents[1] / "results" / "laboratory.json"
PLACEHOLDER = "rocksalt_B1"  # a campaign names a prototype; the pool of a laboratory does not ask for it


@dataclass(frozen=True)
class Bench:
    """A laboratory of the table.

    Attributes:
        file: in the folder of data.
        target: of the campaign.
        section: other keys of its laboratory.
        needs_hull: its truth is the distance to the hull of the Materials Project.
    """

    file: str
    target: Mapping[str, Any]
    section: Mapping[str, Any]
    needs_hull: bool = False


OVER_HULL: Mapping[str, Any] = {
    "where": {"source": ["oqmd", "wbm"]},
    "above_hull": True,
    "duplicates": "keep",
    "start": 20,
    "batch": 10,
    "calls": 500,
}
LABORATORIES: dict[str, Bench] = {
    "cubic_hull": Bench(
        "cubic_three_classes.jsonl.gz",
        {"property": "energy_above_hull", "maximum": 0.0, "direction": "minimise"},
        OVER_HULL,
        needs_hull=True,
    ),
    "cubic_hull_50meV": Bench(
        "cubic_three_classes.jsonl.gz",
        {"property": "energy_above_hull", "maximum": 0.05, "direction": "minimise"},
        OVER_HULL,
        needs_hull=True,
    ),
    "perovskites": Bench(
        "castelli_perovskites.jsonl.gz",
        {"maximum": 0.2, "direction": "minimise"},
        {"value": "heat_all", "start": 50, "batch": 10, "calls": 500},
    ),
    "perovskites_from_10": Bench(
        "castelli_perovskites.jsonl.gz",
        {"maximum": 0.2, "direction": "minimise"},
        {"value": "heat_all", "start": 10, "batch": 10, "calls": 600},
    ),
    "heuslers": Bench(
        "cubic_three_classes.jsonl.gz",
        {"direction": "minimise"},
        {
            "where": {"source": "oqmd", "prototype": "full_heusler_L21"},
            "top": 0.02,
            "start": 10,
            "batch": 3,
            "calls": 160,
        },
    ),
    "light_AB": Bench(
        "pwx_light_AB.json",
        {"maximum": -1.5, "direction": "minimise"},
        {"value": "e_f", "cost": "cpu_s", "missing": "waste", "start": 6, "batch": 6, "calls": 24},
    ),
    # Not looked at while the policies were built; run once.
    "binaries": Bench(
        "cubic_three_classes.jsonl.gz",
        {"direction": "minimise"},
        {"where": {"class": "binary_AB", "primary": True}, "top": 0.05, "start": 10, "batch": 5, "calls": 100},
    ),
    "barrel": Bench(
        "",
        {"direction": "maximise"},
        {
            "value": "toughness",
            "features": ("n", "theta", "r", "t"),
            "top": 0.05,
            "start": 2,
            "batch": 1,
            "calls": 150,
        },
    ),
}
VARIANTS: dict[str, Mapping[str, Any]] = {
    "greedy": {"acquire.policy": "greedy"},
    "no diversity": {"acquire.diversity": 0.0},
    "no exploration": {"acquire.explore": 0.0},
    "no cost model": {"acquire.per_cost": False},
    "no failures model": {"surrogate.failures": False},
    "trees alone": {"surrogate.model": "trees"},
    "gaussian process alone": {"surrogate.model": "gaussian_process"},
    "hit probability": {"acquire.policy": "hit_probability"},
    "expected improvement": {"acquire.policy": "expected_improvement"},
    "ucb": {"acquire.policy": "ucb"},
    "thompson": {"acquire.policy": "thompson"},
}


@dataclass
class Settings:
    """What was asked for on the command line."""

    data: Path
    work: Path
    seeds: Sequence[int]
    variants: Sequence[str]
    policies: Sequence[str]
    baselines: Sequence[str]
    barrel: Path | None
    overrides: Mapping[str, Any] = field(default_factory=dict)


def campaign_of(name: str, bench: Bench, settings: Settings) -> Campaign:
    """The default campaign with the laboratory's target, over all elements."""
    path = settings.data / bench.file if bench.file else settings.barrel
    fields: dict[str, Any] = {
        "name": name.lower(),
        "elements": list(atomic_numbers())[:103],
        "prototypes": [PLACEHOLDER],
        "target": dict(bench.target),
        "laboratory": {"file": path, **bench.section},
    }
    if bench.needs_hull:
        fields["hull"] = {"reference": hull_files(settings.data), "scheme": "as_given"}
    for dotted, value in settings.overrides.items():
        section, _, key = dotted.partition(".")
        fields.setdefault(section, {})[key] = value
    return Campaign.model_validate(fields)


def hull_files(data: Path) -> list[dict[str, Any]]:
    """The reference of the hull laboratories: every MP2020 formation energy of the Materials Project in the shared data."""
    rows = {"where": {"source": "materials_project", "formation_energy_scheme": "MP2020"}, "bad_rows": "skip"}
    tables = ("cubic_three_classes", "half_heusler", "properties")
    return [
        {"path": data / "mp_formation_energies.json.gz"},
        *({"path": data / f"{name}.jsonl.gz", **rows} for name in tables),
    ]


def run(name: str, bench: Bench, settings: Settings, console: Console) -> Study:
    """One laboratory: ours, its variants, and the plain baselines."""
    campaign = campaign_of(name, bench, settings)
    hull = laboratory_hull(campaign) if bench.needs_hull else None
    laboratory = read_laboratory(campaign.laboratory, campaign.target, campaign.elements, hull)
    for note in laboratory.notes:
        console.print(f"[dim]{name}: {note}[/]", highlight=False, soft_wrap=True)
    make = acquirers_for(campaign.laboratory)
    policies: list[Policy] = [policy_of(text, campaign, make) for text in settings.policies]
    policies += [variant_of(one, campaign, VARIANTS[one], make) for one in settings.variants]
    file = settings.work / f"{name}.jsonl"
    with StudyProgress(console, campaign.laboratory.calls) as progress:
        ours = run_study(laboratory, policies, settings.seeds, file, Rankers(), progress)
        theirs = [
            one
            for text in settings.baselines
            for one in _baseline(laboratory, text, campaign, settings, file, progress)
        ]
    study = Study(laboratory, ours.start, ours.batch, ours.calls, (*ours.trials, *theirs))
    show_study(console, study)
    return study


def _baseline(
    laboratory: Laboratory, text: str, campaign: Campaign, settings: Settings, file: Path, watcher: Watcher
) -> list[Trial]:
    section = campaign.laboratory
    told = f"{text} {laboratory.digest} {section.start} {section.batch} {section.calls}"
    key = hashlib.sha256(told.encode()).hexdigest()
    done = {trial.seed: trial for trial in read_trials(file, [key])}
    for number, seed in enumerate(settings.seeds, start=1):
        if seed not in done:
            watcher.started(text, seed, number, len(settings.seeds))
            done[seed] = baseline(laboratory, text, seed, section.start, section.batch, section.calls, key)
            append_trial(file, done[seed])
            watcher.finished(done[seed])
    return [done[seed] for seed in settings.seeds]


def kept(path: Path, name: str, told: Mapping[str, Any]) -> None:
    """Write a laboratory's summary beside those of the others."""
    found = json.loads(path.read_text()) if path.is_file() else {"laboratories": {}}
    found["environment"] = environment()
    found["laboratories"][name] = dict(told) | {"policies": [_thinned(one) for one in told["policies"]]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(found), indent=1, allow_nan=False) + "\n")


def _thinned(policy: Mapping[str, Any]) -> dict[str, Any]:
    """A policy's scores with some forty points of its curve: of 500 calls those after 12, 24, ..."""
    calls = len(policy["curve"])
    at = [*range(max(1, calls // 40), calls, max(1, calls // 40)), calls]
    thin = {name: [policy[name][call - 1] for call in at] for name in ("curve", "band")}
    return dict(policy) | thin | {"curve_after": at}


def _rounded(value: Any) -> Any:  # noqa: ANN401  (of JSON)
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _override(text: str) -> tuple[str, Any]:
    """KEY=VALUE, the value as YAML reads it."""
    key, _, value = text.partition("=")
    return key, yaml.safe_load(value)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the shared data")
    parser.add_argument("--only", nargs="+", choices=list(LABORATORIES), default=None)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--policy", nargs="+", default=["campaign", "random"], help="as of `crystalloop simulate`")
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), default=None, help="none named: all")
    parser.add_argument("--baselines", nargs="*", choices=list(SCORES), default=list(SCORES))
    parser.add_argument(
        "--barrel", type=Path, default=None, help="crossed_barrel.csv of Liang et al. 2021, averaged or not"
    )
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="keys of the campaign, e.g. acquire.policy=ucb"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/bench-laboratory"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    settings = Settings(
        data=given.data,
        work=given.work,
        seeds=range(given.seeds),
        variants=[] if given.variants is None else given.variants or list(VARIANTS),
        policies=given.policy,
        baselines=given.baselines,
        barrel=given.barrel,
        overrides=dict(map(_override, given.set)),
    )
    console = Console(width=140)
    for name, bench in LABORATORIES.items():
        if (given.only and name not in given.only) or (not bench.file and given.barrel is None):
            continue
        console.rule(name)
        kept(given.out, name, run(name, bench, settings, console).told())


if __name__ == "__main__":
    main()
