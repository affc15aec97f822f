"""The command `crystalloop evaluate`: parses, calls, prints. No logic lives here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from crystalloop.orchestrator.cli import AsJson, _escape, _print_json, app, err, out, sentences


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="folder with the checkpoints vae, unet, cgcnn", show_default=False)],
    data: Annotated[
        list[Path], typer.Option(help="file of crystals for VAE and UNet; repeat for several", show_default=False)
    ],
    properties: Annotated[
        list[Path] | None, typer.Option(help="file of labelled crystals for the CGCNN; default: those of --data")
    ] = None,
    split: Annotated[str, typer.Option(help="part to judge: train, val or test")] = "test",
    limit: Annotated[
        int | None, typer.Option(min=1, help="most crystals, prior samples, and draws round each base")
    ] = None,
    seed: Annotated[int, typer.Option(help="of all draws, and of what --limit keeps")] = 0,
    bad_rows: Annotated[
        Literal["stop", "skip"],
        typer.Option(help="at a row that cannot be used: stop, or skip it (or its bad label) and say so"),
    ] = "stop",
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option(help="write a page with figures here")] = None,
) -> None:
    """Judge trained networks on held-out crystals, in two columns: the paper's definitions and strict ones.

    Example: crystalloop evaluate runs/nets --data crystals.jsonl.gz --html evaluation.html
    """
    with sentences():
        from crystalloop.models.judge.evaluate import evaluate as measure
        from crystalloop.models.judge.inputs import Settings
        from crystalloop.orchestrator.evaluation_terminal import show_evaluation

        settings = Settings(folder, tuple(data), tuple(properties or ()), split, limit, seed, bad_rows)
        found = measure(settings, lambda text: err.print(f"[dim]{_escape(text)}[/]"))
        if html is not None:
            from datetime import datetime

            from crystalloop.orchestrator.evaluation_page import write_page

            err.print(f"[dim]page: {_escape(str(write_page(found, html, datetime.now().astimezone())))}[/]")
        _print_json(found.as_json()) if as_json else show_evaluation(out, found)
