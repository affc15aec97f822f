"""What the terminal shows of generated crystals: the funnel and the table. Rendering only."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.generate.results import Generated
from crystalloop.orchestrator.show.tables import WIDE, show_rows


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
    for number, row in enumerate(generated.rows, start=1):
        predicted = row["predicted"]
        e_f, sigma = predicted[E_F], row["e_f_sigma"]
        shown = {
            "": number,
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
