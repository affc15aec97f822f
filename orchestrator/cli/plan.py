"""The command `crystalloop plan`: parses, calls, prints. No logic lives here."""

from __future__ import annotations

import typer

from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.cli.options import AsJson, File, out, print_json
from crystalloop.orchestrator.run.plan import make_plan
from crystalloop.orchestrator.show.tables import show_plan

app = typer.Typer()


@app.command()
def plan(file: File, as_json: AsJson = False) -> None:
    """Check a campaign file and show what it would do; changes nothing.

    Example: crystalloop plan campaigns/first.yaml
    """
    made = make_plan(read_campaign(file))
    print_json(made) if as_json else show_plan(out, made)
