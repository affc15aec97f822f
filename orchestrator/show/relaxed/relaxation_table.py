"""Relaxations as the terminal shows them: one as a list of what was found, several as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crystalloop.orchestrator.show.number_text import number
from crystalloop.orchestrator.show.tables import show_rows


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
