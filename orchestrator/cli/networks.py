"""The commands `crystalloop train|evaluate|generate`: their options. Keras is met in network_work, after `--help`."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import typer

from crystalloop.models.learn.engine import Backend, use_backend
from crystalloop.orchestrator.campaign.target_text import parse_target, target_notes
from crystalloop.orchestrator.cli.options import AsJson, err, escape, out, print_json

app = typer.Typer()


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
    work = _work()
    settings = work.Settings(folder, tuple(data), tuple(properties or ()), split, limit, seed, bad_rows)
    found = work.evaluate(settings, html, lambda text: err.print(f"[dim]{escape(text)}[/]"))
    print_json(found.as_json()) if as_json else work.show_evaluation(out, found)


class NetworkOption(StrEnum):
    """A network that --only names; typer takes lists of an Enum alone."""

    UNET = "unet"
    VAE = "vae"
    CGCNN = "cgcnn"


@app.command()
def train(
    folder: Annotated[Path, typer.Option("--out", help="gets unet, vae, cgcnn and corpus.json", show_default=False)],
    data: Annotated[
        list[Path] | None,
        typer.Option(help="file or folder of crystals for UNet and VAE; repeat for several", show_default=False),
    ] = None,
    properties: Annotated[
        list[Path] | None,
        typer.Option(help="file of labelled crystals in any cell, for the CGCNN; repeatable", show_default=False),
    ] = None,
    preset: Annotated[Literal["compact", "paper"], typer.Option(help="sizes of the networks")] = "compact",
    only: Annotated[
        list[NetworkOption] | None, typer.Option(help="train this network alone; repeatable", show_default=False)
    ] = None,
    n: Annotated[int, typer.Option("--n", help="voxels per cell edge")] = 16,
    lattice: Annotated[
        Literal["cubic", "orthorhombic"], typer.Option(help="conventional cells that UNet and VAE learn")
    ] = "cubic",
    epochs: Annotated[
        str, typer.Option(help="times each crystal is seen: 20, or unet=20,vae=60; default: the preset's")
    ] = "",
    seed: Annotated[int, typer.Option(help="of weights, order and --limit")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Ray Train workers; 0 trains in this process")] = 1,
    gpus: Annotated[bool, typer.Option("--gpus", help="one GPU for each worker")] = False,
    backend: Annotated[
        Backend, typer.Option(help="what takes the steps; jax does so in this process, on whatever device it finds")
    ] = "tensorflow",
    limit: Annotated[int | None, typer.Option(min=1, help="most training crystals, all classes in proportion")] = None,
    bad_rows: Annotated[
        Literal["stop", "skip"], typer.Option(help="rows, labels and cells that cannot be used: stop, or leave out")
    ] = "stop",
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="replace networks in --out, or keep those that are finished")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train the networks on files of crystals; after Ctrl-C the same command goes on with the networks left.

    Only the train part of the split is learned from; where the files have none, 80/10/10 by reduced formula.

    Example: crystalloop train --data crystals.jsonl.gz --out runs/nets
    """
    use_backend(backend)
    work = _work()
    request = work.TrainRequest(
        data=tuple(data or ()),
        folder=folder,
        properties=tuple(properties or ()),
        preset=preset,
        networks=tuple(name for name in work.NETWORKS if not only or name in only),
        n=n,
        lattice=lattice,
        epochs=work.parse_epochs(epochs),
        seed=seed,
        limit=limit,
        bad_rows=bad_rows,
        fresh=fresh,
        resources=work.train_resources(workers, gpus, backend),
    )
    record = work.train(request, shlex.join(["crystalloop", *sys.argv[1:]]), err)
    print_json(record) if as_json else work.show_record(out, record, folder)


@app.command()
def generate(
    mode: Annotated[Literal["random", "around", "between"], typer.Argument(help="how to draw", show_default=False)],
    compounds: Annotated[
        list[str] | None,
        typer.Argument(help="NaCl, NaCl:rocksalt_B1 or a CIF file: one to draw around, two to draw between"),
    ] = None,
    models: Annotated[Path, typer.Option(help="folder that `train` filled")] = Path("runs/nets"),
    target: Annotated[
        str, typer.Option(help="keep what is predicted so, e.g. 'e_f in -2.5..-1.5' or 'gap > 2 and K > 100'")
    ] = "",
    count: Annotated[int, typer.Option(min=1, help="crystals to hand back")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="the same seed gives the same crystals")] = 0,
    scale: Annotated[float, typer.Option(min=0.0, help="spread of draws round a compound, in its kind's")] = 1.0,
    elements: Annotated[str, typer.Option(help="elements that may occur, e.g. Na,K,Cl; default: all")] = "",
    keep_known: Annotated[bool, typer.Option("--keep-known", help="crystals of the training set, too")] = False,
    folder: Annotated[
        Path | None, typer.Option("--out", help="gets a CIF file for each crystal, and table.json")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw new crystals from trained networks: at random, around a compound, or between two.

    Example: crystalloop generate around NaCl --models runs/nets --target "e_f < -1" --out crystals
    """
    wanted = parse_target(target) if target else ()
    for note in target_notes(target):
        err.print(f"[dim]{escape(note)}[/]", highlight=False, soft_wrap=True)
    allowed = tuple(symbol.strip() for symbol in elements.split(",") if symbol.strip())
    work = _work()
    request = work.GenerateRequest(
        models, mode, tuple(compounds or ()), wanted, count, seed, scale, allowed, keep_known
    )
    with err.status("loading networks") as status:
        generated = work.generate(request, status.update)
    paths = work.write_crystals(folder, generated) if folder else []
    if as_json:
        print_json(work.as_json(generated, paths))
        return
    work.show_generated(out, generated)
    if folder:
        out.print(f"{len(paths)} CIF files and table.json in {folder}", markup=False, highlight=False)


def _work() -> ModuleType:
    return import_module("crystalloop.orchestrator.cli.network_work")
