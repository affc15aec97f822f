"""The command `crystalloop relax`: parses, calls, prints. No logic lives here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from orchestrator.cli import AsJson, Exit, _escape, _print_json, _pseudo_folder, app, err, out, sentences


@app.command()
def relax(
    file: Annotated[Path, typer.Argument(help="CIF file with one ordered crystal", show_default=False)],
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
    folder: Annotated[Path | None, typer.Option(help="for pw.x; default FILE-relax beside the relaxed CIF")] = None,
    target: Annotated[Path | None, typer.Option("--out", help="relaxed CIF; default FILE-relaxed.cif here")] = None,
    as_json: AsJson = False,
) -> None:
    """Relax one crystal with pw.x: no campaign, no database. After Ctrl-C the same command goes on.

    Example: crystalloop relax NaCl.cif --method eos
    """
    with sentences():
        from dft.relax import Relaxed
        from orchestrator import relax_command as command

        cif = target or Path(f"{file.stem}-relaxed.cif")
        request = command.RelaxRequest(
            file,
            preset,
            method,
            _pseudo_folder(pseudos),
            folder or cif.parent / f"{file.stem}-relax",
            pw_command,
            cheap_first,
            start_volume,
            max_seconds,
        )
        command.read_crystal(file)
        command.require_target(cif)
        generated, answer = command.relax_file(request, _say_step, _say)
        if isinstance(answer, Relaxed):
            command.write_cif(answer, cif)
        found = command.as_json(request, generated, answer, cif)
        if as_json:
            _print_json(found)
        elif found["converged"]:
            _show(found)
        if not found["converged"]:
            err.print(f"[bold red]no result:[/] {_escape(found['reason'])}", soft_wrap=True)
            raise typer.Exit(Exit.FAILED)


def _say(sentence: str) -> None:
    err.print(f"[dim]{_escape(sentence)}[/]", highlight=False, soft_wrap=True)


def _say_step(step: Any) -> None:  # noqa: ANN401  (a Step; its module is not imported before it is needed)
    pressure = "-" if step.pressure_kbar is None else f"{step.pressure_kbar:+.2f}"
    err.print(
        f"step {step.number}: {step.volume_per_atom_ang3:.3f} cubic angstrom/atom, "
        f"{step.energy_per_atom_ev:.5f} eV/atom, {pressure} kbar",
        highlight=False,
    )


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("quantity", "value", title=f"{found['formula']}, preset {found['preset']}")
    for title, value in _lines(found):
        table.add_row(title, value)
    out.print(table)
    out.print(f"relaxed crystal: {found['cif']}", markup=False, highlight=False)
    for element in found["lanthanides"]:
        out.print(f"[yellow]note:[/] the 4f electrons of {element} are valence here, other physics than a frozen core")


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    curve = found["equation_of_state"]
    lines = [
        ("edge a, angstrom", f"{found['a_ang']:.4f}"),
        ("volume, cubic angstrom/atom", f"{found['volume_per_atom_ang3']:.4f}"),
        ("energy E0, eV/atom", f"{found['energy_per_atom_ev']:.6f}"),
        ("pressure, kbar", f"{found['pressure_kbar']:+.2f}"),
        ("largest force, eV/angstrom", f"{found['fmax_ev_ang']:.1e}"),
        ("space group, before and after", f"{found['spacegroup_before']}, {found['spacegroup']}"),
        ("pressure as given, kbar", _number(found["generated_pressure_kbar"], "+.1f")),
        ("change of bonds, %", _number(found["bond_change_percent"], ".2f")),
        ("change of edges, %", _number(found["cell_change_percent"], ".2f")),
        ("change of volume, %", _number(found["volume_change_percent"], "+.2f")),
        ("steps", str(found["steps"])),
        ("CPU seconds in pw.x", f"{found['cpu_s']:.1f}"),
    ]
    if curve is not None:
        quality = f"{curve['points']} volumes, rms {curve['rms_mev_per_atom']:.3f} meV/atom"
        lines.insert(3, ("bulk modulus, GPa", f"{curve['bulk_modulus_gpa']:.1f} ({quality})"))
    for rung in found["rungs"]:
        energy = f"{rung['energy_per_atom_ev']:.5f} eV/atom, {rung['cpu_s']:.1f} CPU s"
        lines.append((f"{rung['name']} rung", f"{rung['volume_per_atom_ang3']:.3f} cubic angstrom/atom, {energy}"))
    return lines


def _number(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)
