"""CPU milliseconds a crystal of judging against a merged hull, as it is read and as it is asked; prints JSON.

    bench/loop/hull.py --data FOLDER [--out bench/results/hull.json]

The reference is the Materials Project's table with the MP2020 rows of the other tables merged in (47,591 formulas); asked are
the OQMD and WBM rows of `cubic_three_classes`, once each, in the order of the file. Beside it, on a sample, pymatgen's
PhaseDiagram of each crystal's chemical system, which gives the same energies.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from measure import environment, peak_rss_mb, spending

from crystalloop.dft.energies.reference_hull import ReferenceHull, composition_key
from crystalloop.orchestrator.campaign.choice.sections import HullSection
from crystalloop.orchestrator.settle.formation_set import FormationSet, read_formation_set

TABLES = ("cubic_three_classes", "half_heusler", "properties")
LIMITS_EV = (0.0, 0.025, 0.05, 0.1)
SAMPLE, BOUND_MS = 100, 5.0


def main(arguments: Sequence[str]) -> dict[str, Any]:
    args = parse(arguments)
    with spending() as reading:
        found = merged(args.data)
    with spending() as building:
        hull = ReferenceHull(found.entries, f"in {found.name}")
    rows = [row for row in table(args.data, TABLES[0]) if row["source"] in ("oqmd", "wbm")]
    formulas, energies = [row["formula"] for row in rows], [row["formation_energy_per_atom"] for row in rows]
    with spending() as asking:
        points = [hull.at(formula, even_sparse=True) for formula in formulas]
    with spending() as again:
        abstains = sum(hull.energy(formula) is None for formula in formulas)
    above = [
        e - at.energy_ev_per_atom for e, at in zip(energies, points, strict=True) if at.energy_ev_per_atom is not None
    ]
    return {
        **environment(),
        "formulas": len(found.entries),
        "read_cpu_s": round(reading.cpu_s, 2),
        "build_cpu_s": round(building.cpu_s, 2),
        "peak_rss_mb": peak_rss_mb(),
        "asked": len(formulas),
        "cpu_ms_each": round(1000 * asking.cpu_s / len(formulas), 3),
        "bound_ms": BOUND_MS,
        "again_cpu_ms_each": round(1000 * again.cpu_s / len(formulas), 3),
        "judged": len(above),
        "abstains_as_sparse_or_missing": abstains,
        "within_ev": {str(limit): sum(one <= limit for one in above) for limit in LIMITS_EV},
        "below_minus_50_mev": sum(one < -0.05 for one in above),
        "pymatgen": beside_pymatgen(found, hull, formulas),
    }


def merged(folder: Path) -> FormationSet:
    """The Materials Project's table, and its MP2020 rows of the others."""
    mine = {"where": {"source": "materials_project"}, "bad_rows": "skip"}
    others = [{"path": folder / f"{name}.jsonl.gz", **mine} for name in TABLES]
    files = [{"path": folder / "mp_formation_energies.json.gz"}, *others]
    return read_formation_set(HullSection.model_validate({"reference": files, "scheme": "MP2020"}))


def beside_pymatgen(found: FormationSet, hull: ReferenceHull, formulas: Sequence[str]) -> dict[str, Any]:
    """Energies and CPU time of PhaseDiagram for a sample, its entries found beforehand."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core.composition import Composition

    systems = [(frozenset(one for one, _ in composition_key(entry.formula)), entry) for entry in found.entries]
    sample = [formulas[i] for i in np.random.default_rng(0).choice(len(formulas), SAMPLE, replace=False)]
    apart, cpu_s = [], 0.0
    for formula in sample:
        asked = Composition(formula)
        elements = frozenset(asked.get_el_amt_dict())
        compounds = [
            (Composition(one.formula), one) for system, one in systems if system <= elements and len(system) > 1
        ]
        entries = [PDEntry(one, entry.energy_ev_per_atom * one.num_atoms) for one, entry in compounds]
        entries += [PDEntry(Composition(symbol), 0.0) for symbol in elements]
        with spending() as spent:
            energy = PhaseDiagram(entries).get_hull_energy_per_atom(asked)
        cpu_s += spent.cpu_s
        ours = hull.at(formula, even_sparse=True).energy_ev_per_atom
        apart += [] if ours is None else [abs(ours - float(energy))]
    return {"sample": SAMPLE, "cpu_ms_each": round(1000 * cpu_s / SAMPLE, 2), "largest_difference_ev": max(apart)}


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with mp_formation_energies.json.gz and the tables"
    )
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    report = main(sys.argv[1:])
    text = json.dumps(report, indent=2)
    print(text)
    out = parse(sys.argv[1:]).out
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")
