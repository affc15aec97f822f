"""The command `crystalloop relax`: parses, calls, prints. No logic lives here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from crystalloop.dft.alone import command, result
from crystalloop.dft.alone.plan import Plan
from crystalloop.dft.pw.command import pw_version
from crystalloop.dft.pw.watch import Step
from crystalloop.dft.relax.outcome import Relaxed
from crystalloop.models.formats.one_crystal import read_crystal
from crystalloop.orchestrator.cli.exit_codes import Exit
from crystalloop.orchestrator.cli.options import AsJson, err, escape, out, print_json, pseudo_folder
from crystalloop.orchestrator.show.number_text import number
from crystalloop.orchestrator.show.tables import show_relaxation

app = typer.Typer()


@app.command()
def relax(
    file: Annotated[
        Path, typer.Argument(help="one ordered crystal: CIF, POSCAR, .json, .xyz, .in", show_default=False)
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
    folder: Annotated[Path | None, typer.Option(help="for pw.x; default FILE-relax beside the relaxed CIF")] = None,
    target: Annotated[Path | None, typer.Option("--out", help="relaxed CIF; default FILE-relaxed.cif here")] = None,
    as_json: AsJson = False,
) -> None:
    """Relax one crystal with pw.x: no campaign, no database. After Ctrl-C the same command goes on.

    Example: crystalloop relax NaCl.cif --method eos
    """
    cif = target or Path(f"{file.stem}-relaxed.cif")
    request = command.RelaxRequest(
        file=file,
        preset=preset,
        method=method,
        pseudos=pseudo_folder(pseudos),
        folder=folder or cif.parent / f"{file.stem}-relax",
        command=pw_command,
        cheap_first=cheap_first,
        start_volume=start_volume,
        max_seconds=max_seconds,
        memory_mb=memory_mb,
        moments=command.moments_of(moments or []),
        spin=spin,
    )
    plans: list[Plan] = []
    listener = command.Listener(_say_step, _say, _noting(plans))
    read = read_crystal(file)
    structure = read.structure
    for note in read.notes:
        _say(f"{file}: {note}")
    result.require_target(cif)
    answer = command.relax_crystal(structure, request, listener, probe=pw_version)
    if isinstance(answer, Relaxed):
        result.write_cif(answer, cif)
    found = result.as_json(request, structure, answer, cif, *plans)
    if as_json:
        print_json(found)
    elif found["converged"]:
        show_relaxation(out, found)
    if not found["converged"]:
        refused = result.was_refused(answer)
        what = f"{file}: refused" if refused else "no result"
        err.print(f"[bold red]{escape(what)}:[/] {escape(found['reason'])}", highlight=False, soft_wrap=True)
        raise typer.Exit(Exit.USAGE if refused else Exit.FAILED)


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
