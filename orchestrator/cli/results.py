"""The commands `crystalloop results|trace`: they parse, call and print. No logic lives here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crystalloop.db.query.to_mongo import mongo_filter
from crystalloop.orchestrator.account.results import result_rows, trace_chain
from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.cli.options import AsJson, File, out, print_json
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
    campaign = read_campaign(file)
    condition = {"campaign": campaign.name, **(mongo_filter(where) if where else {})}
    with open_store(campaign) as store:
        rows = result_rows(store.matching(condition))
    print_json(rows) if as_json else show_results(out, rows)


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
