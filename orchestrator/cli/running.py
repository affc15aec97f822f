"""The commands `crystalloop run|worker`: they parse, call and print. No logic lives here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crystalloop.orchestrator.campaign.machine import Machine
from crystalloop.orchestrator.campaign.read import read_campaign
from crystalloop.orchestrator.cli.exit_codes import Exit
from crystalloop.orchestrator.cli.options import AsJson, File, err, out, print_json
from crystalloop.orchestrator.run.compose import run_campaign, run_workers
from crystalloop.orchestrator.show.progress import Progress
from crystalloop.orchestrator.show.tables import show_summary

app = typer.Typer()


@app.command()
def run(
    file: File,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="only the closing summary")] = False,
    retry_given_up: Annotated[
        bool,
        typer.Option(
            "--retry-given-up", help="first compute afresh what was given up; errors not the crystal's always are"
        ),
    ] = False,
) -> None:
    """Start a campaign, or go on with it: after Ctrl-C, kill -9 or a reboot the same command resumes.

    Example: crystalloop run campaigns/first.yaml
    """
    campaign = read_campaign(file)
    with Progress(err if as_json else out, quiet=quiet) as progress:
        summary = run_campaign(campaign, progress, again=retry_given_up)
    print_json(summary) if as_json else show_summary(out, summary)
    if summary["state"] == "failed":
        raise typer.Exit(Exit.FAILED)


@app.command()
def worker(
    file: File,
    slots: Annotated[int, typer.Option(min=1, help="relaxations at a time, one core each")] = 1,
    pw_command: Annotated[
        str | None, typer.Option(help="pw.x here, e.g. 'mpirun -np 4 pw.x'; {folder} and {pseudos} are filled in")
    ] = None,
    pseudos: Annotated[Path | None, typer.Option(help="folder of the campaign's pseudopotentials here")] = None,
    scratch: Annotated[Path | None, typer.Option(help="fast local folder for wave functions")] = None,
    idle_exit: Annotated[float | None, typer.Option(min=1, help="end after so many seconds without work")] = None,
    slot_seconds: Annotated[
        float | None,
        typer.Option(
            min=90,
            help="hand work back and end after so many seconds, below the job's limit; the last 60 start nothing",
        ),
    ] = None,
) -> None:
    """Compute candidates of a campaign on this machine, beside those that `run` starts itself.

    Example: crystalloop worker campaigns/first.yaml --slots 4
    """
    machine = Machine(pw_command, pseudos, scratch, idle_exit, slot_seconds)
    run_workers(read_campaign(file), slots, lambda line: out.print(line, markup=False), machine)
