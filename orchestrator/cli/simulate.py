"""The command `crystalloop simulate`: parses, calls, prints. No logic lives here."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.cli.options import AsJson, File, err, escape, out, print_json
from crystalloop.orchestrator.run.plan import known_crystals
from crystalloop.orchestrator.show.simulation.study_page import write_study_page
from crystalloop.orchestrator.show.simulation.study_progress import StudyProgress, show_study
from crystalloop.orchestrator.simulate.policies import DEFAULT, policy_of
from crystalloop.orchestrator.simulate.study import run_study
from crystalloop.orchestrator.simulate.truth.laboratory import check_calls
from crystalloop.orchestrator.simulate.truth.read import read_laboratory
from crystalloop.orchestrator.simulate.truth.section import section_of
from crystalloop.orchestrator.simulate.wiring import Rankers, acquirers_for, known_before, laboratory_hull

app = typer.Typer()


@app.command()
def simulate(
    file: File,
    laboratory: Annotated[
        Path | None,
        typer.Option(
            help="table of crystals with values (.jsonl, .json, .csv, also .gz), or a YAML file of its section"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="trials of each policy, seeds 0, 1, 2, ...")] = 10,
    policy: Annotated[
        list[str] | None,
        typer.Option(help=f"random, campaign, ucb, greedy@trees, mine.py:Class, ...; default {' and '.join(DEFAULT)}"),
    ] = None,
    value: Annotated[str | None, typer.Option(help="column that stands in for the target's property")] = None,
    where: Annotated[str | None, typer.Option(help="keep rows of which this holds, e.g. 'source = oqmd'")] = None,
    missing: Annotated[
        Literal["drop", "waste"] | None,
        typer.Option(help="rows without a value: leave out, or calls on them are wasted"),
    ] = None,
    duplicates: Annotated[
        Literal["drop", "keep"] | None, typer.Option(help="rows that are the crystal of an earlier row")
    ] = None,
    bad_rows: Annotated[Literal["stop", "skip"] | None, typer.Option(help="rows that cannot be used")] = None,
    above_hull: Annotated[
        bool, typer.Option("--above-hull", help="judge by the distance to the campaign's hull")
    ] = False,
    quarantine: Annotated[float | None, typer.Option(help="rows further below the hull are left out, eV/atom")] = None,
    top: Annotated[float | None, typer.Option(help="the best share of rows are the hits, e.g. 0.02")] = None,
    cost: Annotated[str | None, typer.Option(help="column with the processor seconds of a call")] = None,
    features: Annotated[str | None, typer.Option(help="columns of a table without crystals, e.g. n,theta,r,t")] = None,
    start: Annotated[int | None, typer.Option(help="calls of the first round, at random")] = None,
    batch: Annotated[int | None, typer.Option(help="calls of each later round")] = None,
    calls: Annotated[int | None, typer.Option(help="calls in all")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="for trials and page; default the campaign's, laboratory/")
    ] = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="only the closing table")] = False,
) -> None:
    """Run the loop in a laboratory: a table of known values in pw.x's place, policies judged by the truth.

    A finished trial is kept: after Ctrl-C, or with more seeds or policies, the same command goes on.

    Example: crystalloop simulate campaigns/first.yaml --laboratory truth.jsonl --seeds 3 --policy campaign --policy random
    """
    campaign = read_campaign(file)
    columns = tuple(name.strip() for name in features.split(",")) if features else ()
    typed = {
        "value": value,
        "where": where,
        "missing": missing,
        "duplicates": duplicates,
        "bad_rows": bad_rows,
        "above_hull": above_hull or None,
        "quarantine": quarantine,
        "top": top,
        "cost": cost,
        "features": columns,
        "start": start,
        "batch": batch,
        "calls": calls,
    }
    section = section_of(campaign.laboratory, laboratory, typed)
    campaign = campaign.model_copy(update={"laboratory": section})
    policies = [policy_of(text, campaign, acquirers_for(section)) for text in policy or DEFAULT]
    hull = laboratory_hull(campaign) if section.above_hull else None
    truth = read_laboratory(section, campaign.target, campaign.elements, hull)
    check_calls(truth, section.calls)
    place = folder or campaign.run_folder / "laboratory"
    known, notes = known_crystals(campaign)
    before, said = known_before(known, truth, section)
    console = err if as_json else out
    with StudyProgress(console, section.calls, quiet=quiet) as progress:
        for note in (*notes, *truth.notes, *([said] if said else [])):
            progress.say(escape(note))
        study = run_study(truth, policies, range(seeds), place / f"{truth.name}.jsonl", Rankers(before, hull), progress)
    page = write_study_page(study, place / f"{truth.name}.html", datetime.now(UTC))
    if as_json:
        print_json({**study.told(), "page": str(page)})
        return
    show_study(out, study)
    out.print(f"page: {page}", markup=False, highlight=False, soft_wrap=True)
