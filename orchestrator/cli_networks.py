"""The commands `crystalloop train` and `crystalloop generate`: they parse, call and print. No logic lives here."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from crystalloop.orchestrator.cli import AsJson, _print_json, app, err, out, sentences


class Network(StrEnum):
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
        list[Network] | None, typer.Option(help="train this network alone; repeatable", show_default=False)
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
    with sentences():
        from crystalloop.models.nets.keras_import import quiet_keras

        quiet_keras()
        from crystalloop.models.learn.job import NETWORKS, TrainResources
        from crystalloop.orchestrator.train_command import PROGRESS, crystals_in_step, train_networks
        from crystalloop.orchestrator.train_inputs import TrainRequest, parse_epochs
        from crystalloop.orchestrator.train_watch import TrainWatch, show_record

        request = TrainRequest(
            data=tuple(data or ()),
            folder=folder,
            properties=tuple(properties or ()),
            preset=preset,
            networks=tuple(name for name in NETWORKS if not only or name in only),
            n=n,
            lattice=lattice,
            epochs=parse_epochs(epochs),
            seed=seed,
            limit=limit,
            bad_rows=bad_rows,
            fresh=fresh,
            resources=TrainResources(num_workers=workers, use_gpu=gpus),
        )
        command = shlex.join(["crystalloop", *sys.argv[1:]])
        with TrainWatch(err, folder / PROGRESS, lambda name: crystals_in_step(request, name)) as watch:
            record = train_networks(request, command, watch.say)
        _print_json(record) if as_json else show_record(out, record, folder)


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
    with sentences():
        from crystalloop.models.nets.keras_import import quiet_keras
        from crystalloop.orchestrator.target_text import parse_target

        wanted = parse_target(target) if target else ()
        allowed = tuple(symbol.strip() for symbol in elements.split(",") if symbol.strip())
        quiet_keras()
        from crystalloop.models.generate import request as generate_command
        from crystalloop.models.generate.results import as_json as json_of
        from crystalloop.models.generate.results import write_crystals
        from crystalloop.orchestrator.generate_table import show_generated

        request = generate_command.GenerateRequest(
            models, mode, tuple(compounds or ()), wanted, count, seed, scale, allowed, keep_known
        )
        with err.status("loading networks") as status:
            generated = generate_command.generate(request, status.update)
        paths = write_crystals(folder, generated) if folder else []
        if as_json:
            _print_json(json_of(generated, paths))
            return
        show_generated(out, generated)
        if folder:
            out.print(f"{len(paths)} CIF files and table.json in {folder}", markup=False, highlight=False)
