"""What the terminal shows once: tables, a plan, a status, a summary, crystals. What changes while one looks is in progress."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crystalloop.models.crystals.properties import E_F
from crystalloop.orchestrator.show.number_text import cell, number

if TYPE_CHECKING:
    from crystalloop.models.generate.results import Generated

WIDE = 100
"""Columns of a terminal that holds every column of a table; narrower ones get the main columns."""
HULL_REASONS = 3
"""So many reasons for missing hulls are written below a table; --json has every one."""


def plain_table(title: str | None) -> Table:
    """The one look of a table: a line below the heads, nothing around."""
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE, pad_edge=False)


def show_rows(console: Console, rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """A plain table of dictionaries with the same keys."""
    table = plain_table(title)
    for key in rows[0] if rows else ("nothing",):
        table.add_column(str(key), no_wrap=True)
    for row in rows:
        table.add_row(*[escape(cell(value)) for value in row.values()])
    console.print(table)


def show_results(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Candidates, predictions beside what pw.x found."""
    if not rows:
        console.print("no candidates (yet)")
        return
    columns = {
        "id": "id",
        "prototype": "prototype",
        "model": "model_version",
        "status": "status",
        "predicted": "e_f_predicted",
        "e_f": "e_f",
        "above hull": "e_above_hull",
        "a": "a",
        "tries": "attempts",
        "cpu_s": "cpu_s",
    }
    if console.width < WIDE:
        columns = {title: column for title, column in columns.items() if title not in ("model", "tries", "cpu_s")}
    if any(row.get("band_gap") is not None for row in rows):
        columns["gap, eV"] = "band_gap"
    shown = [{title: row[column] for title, column in columns.items()} for row in rows]
    if any(row.get("hit") for row in rows):
        shown = [one | {"hit": _hit(row)} for one, row in zip(shown, rows, strict=True)]
    show_rows(console, shown)
    console.print(
        "[dim]predicted, e_f: formation energy, eV/atom; a: conventional cell edge, angstrom; cpu_s: in pw.x[/]"
    )
    for source in sorted({row["hull_source"] for row in rows if row.get("hull_source")})[:HULL_REASONS]:
        console.print(f"[dim]above hull: of {escape(source)}[/]", soft_wrap=True)
    for reason, count in Counter(row["hull_reason"] for row in rows if row["hull_reason"]).most_common(HULL_REASONS):
        console.print(f"[dim]{count} without a value above hull: {escape(reason)}[/]", soft_wrap=True)


def _hit(row: Mapping[str, Any]) -> str:
    if not row["hit"]:
        return ""
    return "predicted" if row["hit_predicted_in"] else "yes"


def show_plan(console: Console, plan: Mapping[str, Any]) -> None:
    """What `run` would do."""
    console.print(f"[bold]{escape(plan['name'])}[/]: {escape(plan['start'])}")
    console.print(f"  target: {escape(plan['target'])}")
    console.print(f"  rounds: {plan['rounds']} of {plan['per_round']} relaxations, {plan['slots']} at a time")
    console.print(f"  elemental references: {', '.join(plan['references'])} (computed once per database and settings)")
    console.print(
        f"  estimate, to a factor of two: {plan['cpu_hours']:.2f} CPU-hours of pw.x, "
        f"of these {plan['cpu_hours_first_round']:.2f} in the first round with the references"
    )
    phases = ", ".join(f"{phase} {_minutes(minutes)}" for phase, minutes in plan["minutes_of"].items() if minutes > 0)
    console.print(
        f"  and {_minutes(plan['minutes'])} by the clock, with {plan['trainings']} trainings: {phases}", soft_wrap=True
    )
    for sentence in plan["short_budgets"]:
        console.print(f"[yellow]budget:[/] {escape(sentence)}", soft_wrap=True)
    if plan["first_batch"]:
        show_rows(console, plan["first_batch"], title="first batch")
    if plan["first_batch_error"] is not None:
        console.print(
            f"[dim]ranked by a linear fit to the labels of the data (error {plan['first_batch_error']:.2f} in the "
            "target's unit), which stands in for the networks: `run` trains them, draws, and ranks anew[/]",
            soft_wrap=True,
        )
    for note in plan["notes"]:
        console.print(f"[yellow]note:[/] {escape(note)}")


def _minutes(minutes: float) -> str:
    return f"{minutes:.0f} min" if minutes >= 1 else f"{60 * minutes:.0f} s"


def show_status(console: Console, status: Mapping[str, Any]) -> None:
    """How far a campaign is."""
    console.print(
        f"[bold]{escape(status['campaign'])}[/]: {escape(status['state'])} {escape(status.get('outcome') or '')}"
    )
    if status["rounds"]:
        show_rows(console, status["rounds"])
    for line in status.get("lines", ()):
        console.print(escape(line), highlight=False)


def watch_status(console: Console, look: Callable[[], Mapping[str, Any]]) -> None:
    """Redraw the status until the campaign ends."""
    while True:
        status = look()
        console.clear()
        show_status(console, status)
        if status["state"] != "active":
            return
        time.sleep(2.0)


def show_summary(console: Console, summary: Mapping[str, Any]) -> None:
    """The end of `run`."""
    console.print(f"[bold]{escape(summary['campaign'])}[/]: {escape(summary['outcome'])}")
    if summary["rounds"]:
        show_rows(console, summary["rounds"])
    for line in summary["lines"]:
        console.print(escape(line), highlight=False)


def show_generated(console: Console, generated: Generated) -> None:
    """The funnel, why maps gave no crystal, and a row for each crystal."""
    console.print(" > ".join(f"{count} {stage}" for stage, count in generated.funnel.items()), highlight=False)
    if generated.failures:
        failures = ", ".join(f"{count} {reason}" for reason, count in sorted(generated.failures.items()))
        console.print(f"[dim]maps that gave no crystal: {failures}[/]", highlight=False)
    for note in generated.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False)
    if not generated.made:
        console.print("no crystal came through; widen --target, raise --scale, or draw around other compounds")
        return
    rows = []
    for place, row in enumerate(generated.rows, start=1):
        predicted = row["predicted"]
        e_f, sigma = predicted[E_F], row["e_f_sigma"]
        shown = {
            "": place,
            "formula": row["formula"],
            "prototype": row["prototype"],
            "space group": row["space_group"],
            "a": row["a_ang"],
            "e_f": None if e_f is None else f"{e_f:+.3f} ± {sigma or 0.0:.3f}",
            "gap": predicted["band_gap"],
            "contact": row["contact"],
            "novelty": row["novelty"],
            "kind": row["kind"],
            "bases": " - ".join(row["bases"]) or None,
        }
        if console.width < WIDE:
            for column in ("space group", "kind", "bases"):
                del shown[column]
        rows.append(shown)
    show_rows(console, rows)
    console.print(
        "[dim]e_f: predicted formation energy, eV/atom; gap: predicted, eV; a: angstrom; contact: shortest distance over "
        "the sum of covalent radii, at least 0.7; novelty: against the training crystals[/]"
    )


def show_record(console: Console, record: Mapping[str, Any], folder: Path) -> None:
    """The closing table, and what to do next."""
    rows = [
        {
            "network": name,
            "crystals": row["crystals"],
            "steps": row["steps"],
            "wall s": round(row["wall_s"]),
            "CPU s": round(row["cpu_s"]),
            "peak MB": row["peak_memory_mb"],
            "loss": row["metrics"].get("loss", row["metrics"].get("loss_energies")),
        }
        for name, row in record["networks"].items()
    ]
    show_rows(console, rows, title=str(folder))
    for name, row in record["networks"].items():
        if row["validation"]:
            errors = ", ".join(f"{key} {value:.3g}" for key, value in row["validation"].items())
            console.print(f"{name} on a sample of val: {errors}", highlight=False, soft_wrap=True)
    console.print("[dim]CPU s and peak MB: the first worker's, in training steps[/]")
    console.print(f"next: crystalloop generate random --models {folder}", markup=False, highlight=False, soft_wrap=True)


def show_relaxation(console: Console, found: Mapping[str, Any]) -> None:
    """What `crystalloop relax` found, quantity by quantity."""
    table = Table("quantity", "value", title=f"{found['formula']}, preset {found['preset']}")
    for title, value in relaxation_rows(found):
        table.add_row(title, value)
    console.print(table)
    console.print(f"relaxed crystal: {', '.join(found['written'])}", markup=False, highlight=False)
    for note in (*(found["plan"] or {}).get("notes", ()), *found["notes"]):
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False, soft_wrap=True)


def show_relaxations(console: Console, found: Sequence[Mapping[str, Any]]) -> None:
    """What `crystalloop relax` found of several files, a row for each."""
    rows = []
    for each in found:
        file = str(each["file"])
        file = file if len(file) <= _LONG else f"...{file[3 - _LONG :]}"
        if not each["converged"]:
            rows.append({"file": file, "formula": each.get("formula"), "result": each["failure"]} | _NO_NUMBERS)
            continue
        row = {
            "energy": f"{each['energy_per_atom_ev']:.5f}",
            "e_f": number(each["formation_energy_per_atom"], "+.3f"),
            "gap": number(each["band_gap"], ".2f"),
            "moment": number(each["magnetization_bohr"], ".2f"),
            "edges": _edges([f"{edge:.4f}" for edge in each["edges_ang"]]),
        }
        rows.append({"file": file, "formula": each["formula"], "result": "relaxed"} | row)
    show_rows(console, rows)
    console.print("[dim]energy, e_f: eV/atom; gap: eV, an upper bound; moment: Bohr magnetons/cell; edges: angstrom[/]")
    for reason in sorted({each.get("formation_energy_reason") or "" for each in found} - {""}):
        console.print(f"[dim]no e_f: {escape(reason)}[/]", highlight=False, soft_wrap=True)


_LONG = 40
"""Letters of a file's path that a table has room for."""
_NO_NUMBERS: dict[str, str] = dict.fromkeys(("energy", "e_f", "gap", "moment", "edges"), "")


def relaxation_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Quantity with its unit, and value."""
    curve = found["equation_of_state"]
    lines = [
        ("edges, angstrom", _edges([f"{edge:.4f}" for edge in found["edges_ang"]])),
        ("volume, cubic angstrom/atom", f"{found['volume_per_atom_ang3']:.4f}"),
        ("energy E0, eV/atom", f"{found['energy_per_atom_ev']:.6f}"),
        ("formation energy, eV/atom", _formation(found)),
        ("band gap, eV", _gap(found)),
        ("pressure, kbar", f"{found['pressure_kbar']:+.2f}"),
        ("largest force, eV/angstrom", f"{found['fmax_ev_ang']:.1e}"),
        ("space group, before and after", f"{found['spacegroup_before']}, {found['spacegroup']}"),
        ("pressure as given, kbar", number(found["generated_pressure_kbar"], "+.1f")),
        ("change of bonds, %", number(found["bond_change_percent"], ".2f")),
        ("change of edges, %", number(found["cell_change_percent"], ".2f")),
        ("change of volume, %", number(found["volume_change_percent"], "+.2f")),
        ("steps", str(found["steps"])),
        ("CPU seconds in pw.x", f"{found['cpu_s']:.1f}"),
    ]
    if curve is not None:
        quality = f"{curve['points']} volumes, rms {curve['rms_mev_per_atom']:.3f} meV/atom"
        lines.insert(3, ("bulk modulus, GPa", f"{curve['bulk_modulus_gpa']:.1f} ({quality})"))
    if found["magnetization_bohr"] is not None:
        total, absolute = found["magnetization_bohr"], found["absolute_magnetization_bohr"]
        lines.append(("magnetisation, Bohr magnetons/cell", f"{total:.2f}, absolute {number(absolute, '.2f')}"))
    for place, state in enumerate(found["spin_states"], start=1):
        energy, moment = state["energy_per_atom_ev"], number(state["magnetization_bohr"], ".2f")
        lines.append((f"from moments {place}", f"{energy:.6f} eV/atom, magnetisation {moment}"))
    for rung in found["rungs"]:
        energy = f"{rung['energy_per_atom_ev']:.5f} eV/atom, {rung['cpu_s']:.1f} CPU s"
        lines.append((f"{rung['name']} rung", f"{rung['volume_per_atom_ang3']:.3f} cubic angstrom/atom, {energy}"))
    return lines


def _formation(found: Mapping[str, Any]) -> str:
    energy = found["formation_energy_per_atom"]
    return f"not known: {found['formation_energy_reason']}" if energy is None else f"{energy:+.4f}"


def _gap(found: Mapping[str, Any]) -> str:
    """An upper bound: the edges of the bands may lie between the k points."""
    gap, kind = found["band_gap"], found["band_gap_kind"]
    if gap is None:
        return "not known: pw.x wrote no states"
    mesh = "a denser mesh" if found["band_gap_method"] == "nscf" else "the relaxation"
    points = f"{found['band_gap_k_points']} k points of {mesh}"
    if kind == "metal":
        return f"0, a metal: filled and empty states overlap ({points})"
    direct = "" if kind == "direct" else f", {found['band_gap_direct']:.3f} at one k point"
    return f"{gap:.3f}, {kind}{direct}; from the states on the mesh: an upper bound ({points})"


def _edges(edges: list[str]) -> str:
    return edges[0] if len(set(edges)) == 1 else ", ".join(edges)
