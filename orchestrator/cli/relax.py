"""The command `crystalloop relax`: parses, calls, prints. No logic lives here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from crystalloop.db.ledger.access.redaction import without_secrets
from crystalloop.dft.alone import command, result
from crystalloop.dft.alone.plan import Plan
from crystalloop.dft.alone.several import Destination, formats_of, places
from crystalloop.dft.pw.command import pw_version
from crystalloop.dft.pw.watch import Step
from crystalloop.dft.relax.outcome import Relaxed
from crystalloop.models.formats.one_crystal import read_crystal
from crystalloop.orchestrator.cli.exit_codes import Exit, code_and_sentence
from crystalloop.orchestrator.cli.options import AsJson, err, escape, out, print_json, pseudo_folder
from crystalloop.orchestrator.show.number_text import number
from crystalloop.orchestrator.show.relaxed.relaxation_table import show_relaxation, show_relaxations

app = typer.Typer()


@app.command()
def relax(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="crystals, one a file: CIF, POSCAR, .json, .xyz, .in", show_default=False
        ),
    ],
    preset: Annotated[Literal["test", "fast", "paper"], typer.Option(help="k points, thresholds, dispersion")] = "fast",
    method: Annotated[
        Literal["auto", "eos", "vc-relax"],
        typer.Option(help="for crystals with only their volume free; eos gives the bulk modulus, too"),
    ] = "auto",
    cheap_first: Annotated[
        bool, typer.Option("--cheap-first", help="coarse k points first; reject what moves too far")
    ] = False,
    start_volume: Annotated[
        Literal["given", "radii"], typer.Option(help="begin with the file's volume, or where the closest atoms touch")
    ] = "given",
    pseudos: Annotated[
        Path | None, typer.Option("--pseudos", help="folder of the UPF files; default that of the campaigns")
    ] = None,
    pw_command: Annotated[
        str, typer.Option(envvar="CRYSTALLOOP_PW", help="pw.x, with what stands before it: 'mpirun -np 4 pw.x'")
    ] = "pw.x",
    max_seconds: Annotated[int | None, typer.Option(min=10, help="wall time of one launch")] = None,
    memory_mb: Annotated[
        float | None, typer.Option(min=1, help="refuse what needs more; default what the machine has")
    ] = None,
    moments: Annotated[
        list[str] | None,
        typer.Option(
            "--moments", help="starting moments, 'Fe=4,O=0'; given again, each is tried and the lowest counts"
        ),
    ] = None,
    spin: Annotated[bool, typer.Option("--spin/--no-spin", help="magnetic elements start spin-polarised")] = True,
    gap: Annotated[
        Literal["scf", "nscf"],
        typer.Option(help="band gap of the states on the mesh, or on one of twice as many points per edge, too"),
    ] = "scf",
    references: Annotated[
        bool, typer.Option("--references", help="compute elemental references that are missing: the formation energy")
    ] = False,
    block: Annotated[str | None, typer.Option(help="data block of a CIF that holds several crystals")] = None,
    folder: Annotated[Path | None, typer.Option(help="for pw.x; default FILE-relax beside the relaxed CIF")] = None,
    target: Annotated[
        Path | None,
        typer.Option("--out", help="relaxed crystal, the format by its name; default FILE-relaxed.cif here"),
    ] = None,
    write: Annotated[str, typer.Option(help="further formats beside it: cif, poscar, extxyz, with commas")] = "",
    as_json: AsJson = False,
) -> None:
    """Relax crystals with pw.x: no campaign, no database. After Ctrl-C the same command goes on.

    Of several files each has a folder of its own, and one that fails does not stop the others.

    Example: crystalloop relax NaCl.cif --method eos
    """
    formats, where = formats_of(write), places(files, target, folder)
    request = command.RelaxRequest(
        file=files[0],
        preset=preset,
        method=method,
        pseudos=pseudo_folder(pseudos),
        folder=where[0].folder,
        command=pw_command,
        cheap_first=cheap_first,
        start_volume=start_volume,
        max_seconds=max_seconds,
        memory_mb=memory_mb,
        moments=command.moments_of(moments or []),
        spin=spin,
        gap=gap,
        references=references,
    )

    def one(place: Destination) -> tuple[dict[str, Any], Exit]:
        return _one(replace(request, file=place.file, folder=place.folder), place.target, formats, block)

    if len(where) == 1:
        found, code = one(where[0])
        if as_json:
            print_json(found)
        elif found["converged"]:
            show_relaxation(out, found)
    else:
        told = [_whatever_comes(one, place) for place in where]
        code = max(each for _, each in told)
        if as_json:
            print_json([found for found, _ in told])
        else:
            show_relaxations(out, [found for found, _ in told])
    if code:
        raise typer.Exit(code)


def _whatever_comes(
    one: Callable[[Destination], tuple[dict[str, Any], Exit]], place: Destination
) -> tuple[dict[str, Any], Exit]:
    """Of one file among several: what a user can cause is told with its file, and the next one follows."""
    try:
        return one(place)
    except Exception as error:  # those of no known class are raised again
        known = code_and_sentence(error)
        if known is None:
            raise
        said = without_secrets(known[1])
        sentence = said.removeprefix(f"{place.file}: ").removeprefix(f"{place.file} ")
        err.print(f"[bold red]{escape(str(place.file))}:[/] {escape(sentence)}", highlight=False, soft_wrap=True)
        return result.as_failed(place.file, said), Exit(known[0])


def _one(
    request: command.RelaxRequest, target: Path, formats: tuple[str, ...], block: str | None
) -> tuple[dict[str, Any], Exit]:
    plans: list[Plan] = []
    listener = command.Listener(_say_step, _say, _noting(plans))
    read = read_crystal(request.file, block)
    for note in read.notes:
        _say(f"{request.file}: {note}")
    result.require_target(target)
    answer = command.relax_crystal(read.structure, request, listener, probe=pw_version)
    found = result.Found(request, read.structure, answer, plan=plans[0] if plans else None, notes=read.notes)
    if isinstance(answer, Relaxed):
        found = replace(found, written=result.write_crystal(answer, target, formats))
        found = replace(found, formation=command.formation_of(answer, request, listener))
    told = result.as_json(found)
    if told["converged"]:
        return told, Exit.OK
    refused = result.was_refused(answer)
    what = f"{request.file}: refused" if refused else f"{request.file}: no result"
    err.print(f"[bold red]{escape(what)}:[/] {escape(told['reason'])}", highlight=False, soft_wrap=True)
    return told, Exit.USAGE if refused else Exit.FAILED


def _noting(plans: list[Plan]) -> Callable[[Plan], None]:
    """Says a plan, and keeps it for the result."""

    def hear(plan: Plan) -> None:
        plans.append(plan)
        for line in plan.lines():
            err.print(line, markup=False, highlight=False, soft_wrap=True)

    return hear


def _say(sentence: str) -> None:
    err.print(f"[dim]{escape(sentence)}[/]", highlight=False, soft_wrap=True)


def _say_step(step: Step) -> None:
    err.print(
        f"step {step.number}: {step.volume_per_atom_ang3:.3f} cubic angstrom/atom, "
        f"{step.energy_per_atom_ev:.5f} eV/atom, {number(step.pressure_kbar, '+.2f')} kbar",
        highlight=False,
    )
