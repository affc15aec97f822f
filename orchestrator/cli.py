"""The command crystalloop: parses, calls, prints. No logic lives here."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crystalloop.orchestrator.config import Campaign, ConfigError, read_campaign

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
out = Console(width=None if sys.stdout.isatty() else 140)  # a pipe or a file has no width
err = Console(stderr=True, width=None if sys.stderr.isatty() else 140)


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1  # the work itself could not be done; nothing computed is lost
    USAGE = 2  # the campaign file, a data file or an argument is wrong
    ENVIRONMENT = 3  # pw.x, a pseudopotential, disk space or the like is missing
    DATABASE = 4  # the database cannot be reached; the same command resumes
    INTERRUPTED = 130  # Ctrl-C; the same command resumes


@contextmanager
def sentences() -> Iterator[None]:
    """Turn every error a user can cause into a sentence on stderr and an exit code."""
    from crystalloop.orchestrator.errors import code_and_sentence

    try:
        yield
    except KeyboardInterrupt:
        err.print("[yellow]interrupted[/]; finished work is kept, the same command goes on")
        raise typer.Exit(Exit.INTERRUPTED) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        known = code_and_sentence(error)
        if known is None:
            raise
        err.print(f"[bold red]error:[/] {_escape(known[1])}", highlight=False, soft_wrap=True)
        raise typer.Exit(known[0]) from None


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _read(file: Path | None) -> Campaign | None:
    return None if file is None else read_campaign(file)


def _print_json(value: object) -> None:
    """Machine-readable output: the only thing on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False, default=str) + "\n")


File = Annotated[Path, typer.Argument(help="campaign file, e.g. campaigns/first.yaml", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable output on stdout, and nothing else there")]


@app.callback()
def main_options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log to stderr what happens")] = False,
) -> None:
    """Finds new crystals: networks propose, Quantum ESPRESSO decides, the results retrain the networks."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


@app.command()
def plan(file: File, as_json: AsJson = False) -> None:
    """Check a campaign file and show what it would do; changes nothing.

    Example: crystalloop plan campaigns/first.yaml
    """
    with sentences():
        from crystalloop.orchestrator.planning import make_plan
        from crystalloop.orchestrator.terminal import show_plan

        made = make_plan(read_campaign(file))
        _print_json(made) if as_json else show_plan(out, made)


@app.command()
def run(
    file: File,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="only the closing summary")] = False,
) -> None:
    """Start a campaign, or go on with it: after Ctrl-C, kill -9 or a reboot the same command resumes.

    Example: crystalloop run campaigns/first.yaml
    """
    with sentences():
        from crystalloop.orchestrator.compose import run_campaign
        from crystalloop.orchestrator.terminal import Progress, show_summary

        campaign = read_campaign(file)
        with Progress(err if as_json else out, quiet=quiet) as progress:
            summary = run_campaign(campaign, progress)
        _print_json(summary) if as_json else show_summary(out, summary)
        if not summary["completed"]:
            raise typer.Exit(Exit.FAILED if summary["state"] == "failed" else Exit.OK)


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
    with sentences():
        from crystalloop.orchestrator.session import open_store
        from crystalloop.orchestrator.status import campaign_status
        from crystalloop.orchestrator.terminal import show_status, watch_status

        campaign = read_campaign(file)
        with open_store(campaign) as store:
            if watch and not as_json:
                watch_status(out, lambda: campaign_status(store, campaign.name))
                return
            now = campaign_status(store, campaign.name)
            _print_json(now) if as_json else show_status(out, now)


@app.command()
def results(
    file: File,
    as_json: AsJson = False,
    where: Annotated[str, typer.Option(help="keep rows that match, e.g. 'e_f < -1.5 and round >= 2'")] = "",
) -> None:
    """List a campaign's candidates: predictions beside what pw.x found.

    Example: crystalloop results campaigns/first.yaml --where "e_f < -1.5" --json
    """
    with sentences():
        from crystalloop.db.query.language import parse_query
        from crystalloop.orchestrator.hulls import refresh_hull
        from crystalloop.orchestrator.results import result_rows
        from crystalloop.orchestrator.session import open_store
        from crystalloop.orchestrator.terminal import show_results

        campaign = read_campaign(file)
        condition = {"campaign": campaign.name, **(parse_query(where) if where else {})}
        with open_store(campaign) as store:
            refresh_hull(store, campaign)
            rows = result_rows(store.matching(condition))
        _print_json(rows) if as_json else show_results(out, rows)


@app.command()
def trace(
    candidate: Annotated[str, typer.Argument(help="id of a candidate, as `results` lists it", show_default=False)],
    as_json: AsJson = False,
    file: Annotated[Path | None, typer.Option(help="campaign file, where it names a database of its own")] = None,
) -> None:
    """Tell a candidate's whole story: model, latent, filters, attempts, relaxation, the models trained on it.

    Example: crystalloop trace first-2-MgO-1a2b3c4d
    """
    with sentences():
        from crystalloop.orchestrator.results import trace_chain
        from crystalloop.orchestrator.session import open_store
        from crystalloop.orchestrator.trace_text import trace_lines

        with open_store(_read(file)) as store:
            chain = trace_chain(store, candidate)
        if as_json:
            _print_json(chain)
        else:
            for line in trace_lines(chain):
                out.print(line, markup=False, highlight=False)


@app.command()
def stop(file: File) -> None:
    """Ask a running campaign to end at its next step; work under way goes back to the queue.

    Example: crystalloop stop campaigns/first.yaml
    """
    with sentences():
        from crystalloop.orchestrator.session import open_store, request_stop

        campaign = read_campaign(file)
        with open_store(campaign) as store:
            out.print(request_stop(store, campaign))


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
    with sentences():
        from crystalloop.orchestrator.compose import run_workers
        from crystalloop.orchestrator.machine import Machine

        machine = Machine(pw_command, pseudos, scratch, idle_exit, slot_seconds)
        run_workers(read_campaign(file), slots, lambda line: out.print(line, markup=False), machine)


@app.command()
def schema() -> None:
    """Print the JSON schema of campaign files, for editors.

    Example: crystalloop schema > campaign.schema.json
    """
    _print_json(Campaign.model_json_schema())


Folder = Annotated[
    Path | None, typer.Option("--folder", "--dir", help="folder of the UPF files; default .crystalloop/pseudos")
]


def _pseudo_folder(folder: Path | None) -> Path:
    from crystalloop.orchestrator.config import default_pseudos

    return folder or default_pseudos()


def main() -> None:
    """Entry point of the command; no traceback reaches the user for a mistake of theirs."""
    try:
        app()
    except ConfigError as error:
        err.print(str(error), markup=False)
        raise SystemExit(Exit.USAGE) from None


from crystalloop.orchestrator import cli_evaluate, cli_hull, cli_networks, cli_pseudos, cli_relax  # noqa: E402, F401  (they register)
