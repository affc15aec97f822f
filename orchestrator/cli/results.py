"""The commands `crystalloop results|trace`: they parse, call and print. No logic lives here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from crystalloop.db.ledger.records import Candidate
from crystalloop.db.query.conditions import Condition, notes_of
from crystalloop.db.query.language import parse
from crystalloop.db.query.seen import what_there_is
from crystalloop.db.query.to_mongo import filter_of
from crystalloop.orchestrator.account.fields import ledger_field
from crystalloop.orchestrator.account.results import mark_hits, result_rows, trace_chain
from crystalloop.orchestrator.account.status import campaign_hits
from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.cli.options import AsJson, File, err, escape, out, print_json
from crystalloop.orchestrator.run.session import open_store
from crystalloop.orchestrator.show.tables import show_results
from crystalloop.orchestrator.show.trace import trace_lines

app = typer.Typer()


@app.command()
def results(
    file: File,
    as_json: AsJson = False,
    where: Annotated[str, typer.Option(help="keep rows that match, e.g. 'e_f < -1.5 and round >= 2'")] = "",
) -> None:
    """List a campaign's candidates: predictions beside what pw.x found.

    Example: crystalloop results campaigns/first.yaml --where "e_f < -1.5" --json
    """
    condition = parse(where, ledger_field)
    for note in notes_of(condition):
        err.print(f"[dim]{escape(note)}[/]", highlight=False, soft_wrap=True)
    campaign = read_campaign(file)
    mine = {"campaign": campaign.name}
    with open_store(campaign) as store:
        rows = result_rows(store.matching({"$and": [mine, filter_of(condition)]} if where else mine))
        mark_hits(rows, campaign_hits(store, campaign.name))
        if where.strip() and not rows:
            err.print(f"[yellow]note:[/] {escape(_unmet(condition, store.candidates(campaign.name)))}", soft_wrap=True)
    print_json(rows) if as_json else show_results(out, rows)


def _unmet(condition: Condition, candidates: Sequence[Candidate]) -> str:
    """What there is instead of what was asked for."""
    crystals = [candidate.to_document() for candidate in candidates if candidate.kind == "crystal"]
    if not crystals:
        return "the campaign has no candidates yet"
    return f"none of {len(crystals)} candidates is so: {what_there_is(condition, crystals)}"


@app.command()
def trace(
    candidate: Annotated[str, typer.Argument(help="id of a candidate, as `results` lists it", show_default=False)],
    as_json: AsJson = False,
    file: Annotated[Path | None, typer.Option(help="campaign file, where it names a database of its own")] = None,
) -> None:
    """Tell a candidate's whole story: model, latent, filters, attempts, relaxation, the models trained on it.

    Example: crystalloop trace first-2-MgO-1a2b3c4d
    """
    with open_store(None if file is None else read_campaign(file)) as store:
        chain = trace_chain(store, candidate)
    if as_json:
        print_json(chain)
    else:
        for line in trace_lines(chain):
            out.print(line, markup=False, highlight=False)
