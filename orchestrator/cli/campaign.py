"""The commands `crystalloop status|stop|schema`: they parse, call and print. No logic lives here."""

from __future__ import annotations

from typing import Annotated

import typer

from crystalloop.orchestrator.account.status import campaign_status
from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.cli.options import AsJson, File, out, print_json
from crystalloop.orchestrator.run.session import open_store, request_stop
from crystalloop.orchestrator.show.tables import show_status, watch_status

app = typer.Typer()


@app.command()
def status(
    file: File,
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="redraw every two seconds until the campaign ends")
    ] = False,
) -> None:
    """Show how far a campaign is.

    Example: crystalloop status campaigns/first.yaml --watch
    """
    campaign = read_campaign(file)
    with open_store(campaign) as store:
        if watch and not as_json:
            watch_status(out, lambda: campaign_status(store, campaign.name))
            return
        now = campaign_status(store, campaign.name)
        print_json(now) if as_json else show_status(out, now)


@app.command()
def stop(file: File) -> None:
    """Ask a running campaign to end at its next step; work under way goes back to the queue.

    Example: crystalloop stop campaigns/first.yaml
    """
    campaign = read_campaign(file)
    with open_store(campaign) as store:
        out.print(request_stop(store, campaign))


@app.command()
def schema() -> None:
    """Print the JSON schema of campaign files, for editors.

    Example: crystalloop schema > campaign.schema.json
    """
    print_json(Campaign.model_json_schema())
