"""The command `crystalloop hull`: parses, calls, prints. No logic lives here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.cli.options import AsJson, File, err, escape, out, print_json
from crystalloop.orchestrator.run.session import open_store
from crystalloop.orchestrator.settle.hull_view import hull_lines, look

app = typer.Typer()


@app.command()
def hull(
    file: File,
    reference_set: Annotated[
        Path | None,
        typer.Option(
            "--import", help="take up this reference set: .jsonl or .csv with formula, energy_per_atom, scheme"
        ),
    ] = None,
    bad_rows: Annotated[
        Literal["stop", "skip"], typer.Option(help="rows that cannot be used: stop, or leave out and say so")
    ] = "stop",
    export: Annotated[
        Path | None, typer.Option(help="write the database's own energies of this scheme here, for another database")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convex hulls of a campaign's chemical systems, from the database's own energies and imported ones of its scheme.

    Example: crystalloop hull campaigns/first.yaml --import references.jsonl
    """
    campaign = read_campaign(file)
    with open_store(campaign) as store:
        found = look(store, campaign, reference_set, export, skip_bad=bad_rows == "skip")
    for note in found["notes"]:
        err.print(f"[dim]{escape(note)}[/]", highlight=False, soft_wrap=True)
    if as_json:
        print_json(found)
        return
    for line in hull_lines(found):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
