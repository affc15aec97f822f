"""Formation energies of data files beside those of pw.x: as given, and on the scale of plain PBE.

`python bench/energy_scale.py --data FOLDER --cache FOLDER [--compute]` prints JSON. The data folder holds
cubic_three_classes.jsonl.gz, whose labels are of several schemes. The cache holds finished calculations, those of
`bench/dft_figures.py --long` among them; `--compute` adds the compounds of energy_scale.yaml, half an hour of one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from dft_figures import TABLE as FIGURES_TABLE
from dft_figures import Task, compute, crystal, finished, relaxation
from measure import environment
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalloop.dft.energies.references import reference_settings, reference_structure
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import preset
from crystalloop.dft.relax.estimate import estimate_cpu_s
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.energy_schemes import on_plain_scale
from crystalloop.models.data.files import KnownCrystal, read_crystals

TABLE = Path(__file__).with_suffix(".yaml")
COUNTS = {"perovskite": (1, 1, 3), "heusler": (2, 1, 1)}


def tasks(rows: list[dict[str, Any]], table: PseudoTable) -> list[Task]:
    """The compounds and the elements that they need, cheapest first."""
    fast = preset("fast")
    wanted = [(f"auto-{row['formula']}", crystal(row), fast) for row in rows]
    for element in sorted({site for row in rows for site in row["sites"]}):
        wanted.append((f"element-{element}", reference_structure(element), reference_settings(element, fast)))
    made = [Task(name, estimate_cpu_s(cell, how, table), relaxation(cell, how, table)) for name, cell, how in wanted]
    return sorted(made, key=lambda task: task.estimate_s)


def computed_e_f(row: dict[str, Any], done: dict[str, dict[str, Any]]) -> float | None:
    """Formation energy by pw.x, eV/atom; None where a calculation is missing or failed."""
    counts = COUNTS.get(row["prototype"], (1, 1))
    names = [f"auto-{row['formula']}", *(f"element-{site}" for site in row["sites"])]
    energies = [float(done[name]["energy_per_atom_ev"]) for name in names if "energy_per_atom_ev" in done.get(name, {})]
    if len(energies) < len(names):
        return None
    own, *elements = energies
    return own - sum(n * energy for n, energy in zip(counts, elements, strict=True)) / sum(counts)


def labels(
    row: dict[str, Any], given: list[KnownCrystal], moved: list[KnownCrystal]
) -> tuple[str, float, float] | None:
    """Scheme, label as given and label moved, of the same crystal in the data; None where there is none."""
    cell, matcher = crystal(row), StructureMatcher()
    formula = cell.composition.reduced_formula
    for before, after in zip(given, moved, strict=True):
        is_same = before.structure.composition.reduced_formula == formula and matcher.fit(cell, before.structure)
        if is_same and E_F in before.labels and E_F in after.labels:
            return before.scheme, before.labels[E_F], after.labels[E_F]
    return None


def compared(rows: list[dict[str, Any]], done: dict[str, dict[str, Any]], data: Path) -> dict[str, Any]:
    """Every compound that pw.x and the data both have."""
    given = list(read_crystals(data / "cubic_three_classes.jsonl.gz", skip_bad=True).crystals)
    moved = list(on_plain_scale(given).crystals)
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        ours, theirs = computed_e_f(row, done), labels(row, given, moved)
        if ours is not None and theirs is not None:
            scheme, before, after = theirs
            values = {
                "pw.x": ours,
                "given": before,
                "moved": after,
                "error_given": before - ours,
                "error": after - ours,
            }
            found[row["formula"]] = {"scheme": scheme, **{name: round(value, 4) for name, value in values.items()}}
    return {
        "count": len(found),
        "mean_abs_given_ev_per_atom": round(fmean(abs(one["error_given"]) for one in found.values()), 4),
        "mean_abs_ev_per_atom": round(fmean(abs(one["error"]) for one in found.values()), 4),
        "worst_ev_per_atom": max(abs(one["error"]) for one in found.values()),
        "compounds": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the shared crystals")
    parser.add_argument("--cache", type=Path, required=True, help="folder of finished calculations")
    parser.add_argument("--pseudos", type=Path, default=Path(".crystalloop/pseudos"))
    parser.add_argument("--compute", action="store_true", help="compute with pw.x what is missing")
    given = parser.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    rows = yaml.safe_load(TABLE.read_text())["compounds"]
    if given.compute:
        todo = tasks(rows, PseudoTable.load(given.pseudos))
        for number, task in enumerate(todo, start=1):
            result = compute(task, given.cache)
            seen = result.get("failure") or f"{result['energy_per_atom_ev']:.4f} eV/atom"
            print(f"{number}/{len(todo)} {task.name}: {seen}, {result['cpu_s']:.1f} CPU s", file=sys.stderr, flush=True)
    listed = {row["formula"] for row in rows}
    rows += [row for row in yaml.safe_load(FIGURES_TABLE.read_text())["compounds"] if row["formula"] not in listed]
    print(
        json.dumps({"environment": environment(), **compared(rows, dict(finished(given.cache)), given.data)}, indent=1)
    )


if __name__ == "__main__":
    main()
