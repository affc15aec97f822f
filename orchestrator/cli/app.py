"""The command crystalloop: a table of its commands, each loaded when it is called. Errors become exit codes here, once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from crystalloop import __version__
from crystalloop.db.ledger.access.redaction import guard, without_secrets
from crystalloop.orchestrator.cli.exit_codes import Exit, code_and_sentence
from crystalloop.orchestrator.cli.options import err, escape, out, paths_as_meant

COMMANDS: dict[str, tuple[str, str]] = {
    "plan": ("campaign", "Check a campaign file and show what it would do; changes nothing."),
    "run": (
        "running",
        "Start a campaign, or go on with it: after Ctrl-C, kill -9 or a reboot the same command resumes.",
    ),
    "status": ("campaign", "Show how far a campaign is."),
    "results": ("results", "List a campaign's candidates: predictions beside what pw.x found."),
    "trace": (
        "results",
        "Tell a candidate's whole story: model, latent, filters, attempts, relaxation, the models trained on it.",
    ),
    "stop": ("campaign", "Ask a running campaign to end at its next step; work under way goes back to the queue."),
    "worker": ("running", "Compute candidates of a campaign on this machine, beside those that `run` starts itself."),
    "schema": ("campaign", "Print the JSON schema of campaign files, for editors."),
    "evaluate": (
        "networks",
        "Judge trained networks on held-out crystals, in two columns: the paper's definitions and strict ones.",
    ),
    "hull": (
        "hull",
        "Convex hulls of a campaign's chemical systems, from the database's own energies and imported ones of its scheme.",
    ),
    "train": (
        "networks",
        "Train the networks on files of crystals; after Ctrl-C the same command goes on with the networks left.",
    ),
    "generate": (
        "networks",
        "Draw new crystals from trained networks: at random, around a compound, or between two.",
    ),
    "simulate": (
        "simulate",
        "Run the loop in a laboratory: a table of known values in pw.x's place, policies judged by the truth.",
    ),
    "pseudos": ("pseudos", "Pseudopotentials: install, check, list."),
    "relax": (
        "relax",
        "Relax one crystal with pw.x: no campaign, no database. After Ctrl-C the same command goes on.",
    ),
}
"""Each command's module in this room, and the first paragraph of its help, so that `--help` loads none of them."""


def load(name: str) -> Any:  # noqa: ANN401  (typer's command types are its own vendored click's)
    """The command of a name, its module imported now."""
    module = import_module(f"crystalloop.orchestrator.cli.{COMMANDS[name][0]}")
    for registered in module.app.registered_commands:
        registered.callback = paths_as_meant(registered.callback)
    group = get_group(module.app)
    if name not in group.commands:  # a room of subcommands
        group.name = name
        return group
    return group.commands[name]


class Table(TyperGroup):
    """Commands listed by COMMANDS and loaded when one is called."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(**settings)
        # Names near to a wrong one are looked for among these.
        self.commands = {name: TyperCommand(name, help=text) for name, (_, text) in COMMANDS.items()}

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        """What stands in the list of commands; the command itself comes with resolve_command."""
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401
        """The command that is called."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, None if command is None else load(str(name)), rest

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Call it; what a user can cause becomes a sentence and an exit code."""
        with sentences():
            return super().invoke(ctx)


app = typer.Typer(
    cls=Table, no_args_is_help=True, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False
)


@contextmanager
def sentences() -> Iterator[None]:
    """Turn every error a user can cause into a sentence on stderr and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        err.print("[yellow]interrupted[/]; finished work is kept, the same command goes on")
        raise typer.Exit(Exit.INTERRUPTED) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # those of no known class are raised again
        known = code_and_sentence(error)
        if known is None:
            raise
        err.print(f"[bold red]error:[/] {escape(without_secrets(known[1]))}", highlight=False, soft_wrap=True)
        raise typer.Exit(known[0]) from None


def _show_version(asked: bool) -> None:
    if asked:
        out.print(f"crystalloop {__version__}", highlight=False)
        raise typer.Exit(Exit.OK)


@app.callback()
def main_options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log to stderr what happens")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="print the version and end")
    ] = False,
) -> None:
    """Finds new crystals: networks propose, Quantum ESPRESSO decides, the results retrain the networks."""
    guard(logging.INFO, "%(asctime)s %(levelname)s %(name)s: %(message)s") if verbose else guard(
        logging.ERROR, "%(message)s"
    )


def main() -> None:
    """Entry point of the command."""
    app()
