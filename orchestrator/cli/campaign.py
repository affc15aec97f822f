"""The commands `crystalloop plan|status|stop|schema`: they parse, call and print. No logic lives here."""

from __future__ import annotations

from typing import Annotated

import typer

from crystalloop.orchestrator.account.status import campaign_status
from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.cli.options import AsJson, File, out, print_json
from crystalloop.orchestrator.show.tables import show_plan, show_status, watch_status

app = typer.Typer()


@app.command()
def plan(file: File, as_json: AsJson = False) -> None:
    """Check a campaign file and show what it would do; changes nothing.

    Example: crystalloop plan campaigns/first.yaml
    """
    from crystalloop.orchestrator.run.plan import make_plan  # pymatgen, which the other commands here do without

    made = make_plan(read_campaign(file))
    print_json(made) if as_json else show_plan(out, made)


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
    from crystalloop.orchestrator.run.session import open_store  # pymongo, which a plan does without

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
    from crystalloop.orchestrator.run.session import open_store, request_stop  # pymongo, which a plan does without

    campaign = read_campaign(file)
    with open_store(campaign) as store:
        out.print(request_stop(store, campaign))


@app.command()
def schema() -> None:
    """Print the JSON schema of campaign files, for editors.

    Example: crystalloop schema > campaign.schema.json
    """
    print_json(Campaign.model_json_schema())
