"""Figures of the relaxations with the real pw.x: lattice constants, formation energies, cost, agreement of the methods.

`python bench/dft_figures.py --cache FOLDER [--long] [--slots] [--report]` prints JSON. Every calculation is a file of the
cache, so that the script is resumed by starting it again, and `--report` prints what there is. Not called dft.py: a
script's folder comes first in Python's path, and every script here would get it in place of the package `dft`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from dft_report import report
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from crystalloop.dft.energies.references import reference_settings, reference_structure
from crystalloop.dft.heal.corrections import correct
from crystalloop.dft.heal.failures import diagnose
from crystalloop.dft.pw.input import pw_input_text
from crystalloop.dft.pw.launch import LaunchOptions
from crystalloop.dft.pw.output import parse_pw_output
from crystalloop.dft.pw.replay import Replay
from crystalloop.dft.pw.run import run_pw
from crystalloop.dft.recipe.cells import conventional_cell, primitive_cell
from crystalloop.dft.recipe.element_rules import for_crystal
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import PwSettings, preset
from crystalloop.dft.relax.estimate import estimate_cpu_s
from crystalloop.dft.relax.outcome import Relaxed
from crystalloop.dft.relax.relax import relax

TABLE = Path(__file__).with_name("dft_compounds.yaml")
START = 1.02
"""The edge that a relaxation starts from, over the published one: what a generator's crystal is off by."""
PROTOTYPES: dict[str, tuple[str, list[list[float]]]] = {
    "rocksalt": ("Fm-3m", [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "CsCl": ("Pm-3m", [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "zincblende": ("F-43m", [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "perovskite": ("Pm-3m", [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]),
    "heusler": ("Fm-3m", [[0.25, 0.25, 0.25], [0.5, 0.5, 0.5], [0, 0, 0]]),
}


@dataclass(frozen=True)
class Task:
    """One calculation of the cache."""

    name: str  # of its file, such as auto-LiF or element-Li
    estimate_s: float
    work: Callable[[Path], dict[str, Any]]  # gets a folder for the launches


def crystal(row: dict[str, Any], scale: float = 1.0) -> Structure:
    spacegroup, sites = PROTOTYPES[row["prototype"]]
    return Structure.from_spacegroup(spacegroup, Lattice.cubic(row["a_ang"] * scale), row["sites"], sites)


def relaxation(structure: Structure, settings: PwSettings, table: PseudoTable) -> Callable[[Path], dict[str, Any]]:
    def work(folder: Path) -> dict[str, Any]:
        result = relax(structure, settings, table, folder, run=Replay(folder, run_pw))
        if not isinstance(result, Relaxed):
            return {"failure": result.reason, "cpu_s": result.cpu_s}
        return {
            "a_ang": result.a_ang,
            "atoms": len(result.structure),
            "energy_per_atom_ev": result.energy_per_atom_ev,
            "pressure_kbar": result.pressure_kbar,
            "generated_pressure_kbar": result.generated_pressure_kbar,
            "steps": result.steps,
            "cpu_s": result.cpu_s,
            "equation": None if result.equation is None else asdict(result.equation),
            "attempts": [attempt.detail for attempt in result.attempts],
        }

    return work


def plain_vc_relax(structure: Structure, settings: PwSettings, table: PseudoTable) -> Callable[[Path], dict[str, Any]]:
    """What one does without crystalloop: the conventional cell, vc-relax, again until the stress is within bounds."""

    def work(folder: Path) -> dict[str, Any]:
        cell, current, cpu_s, run = conventional_cell(structure), settings, 0.0, Replay(folder, run_pw)
        for attempt in range(1, settings.max_attempts + 1):
            text = pw_input_text(cell, current, table, "vc-relax")
            ran = run(text, folder / f"attempt-{attempt}", LaunchOptions(timeout_s=float(settings.max_seconds)))
            cpu_s += ran.cpu_s
            output = parse_pw_output(ran.xml, ran.stdout, ran.stderr, ran.returncode, ran.timed_out)
            cell = output.last_structure or cell
            failure = diagnose(output, current)
            if failure is None and output.last is not None:
                return {
                    "a_ang": float(conventional_cell(cell).lattice.a),
                    "atoms": len(cell),
                    "energy_per_atom_ev": output.last.energy_ev / len(cell),
                    "pressure_kbar": output.last.pressure_kbar,
                    "cpu_s": cpu_s,
                    "attempts": attempt,
                }
            following = None if failure is None else correct(failure, current, attempt)
            if following is None:
                return {"failure": "no result" if failure is None else failure.meaning, "cpu_s": cpu_s}
            current = following
        return {"failure": "too many attempts", "cpu_s": cpu_s}

    return work


def tasks(listed: dict[str, Any], table: PseudoTable, long: bool) -> list[Task]:
    """Cheapest first. The short list has a few compounds and what they need."""
    fast = preset("fast")
    rows = [row for row in listed["compounds"] if long or row["formula"] in listed["short"]]
    both = [row for row in rows if row["formula"] in listed["both_ways"]]
    made = []
    for row in rows:
        made.append(_task(f"auto-{row['formula']}", crystal(row, START), fast, table))
    for row in both:
        cell, formula = crystal(row, START), row["formula"]
        eos = fast.model_copy(update={"method": "eos"})
        larger = len(conventional_cell(cell)) / len(primitive_cell(cell))
        made.append(_task(f"eos-{formula}", cell, eos, table, 2.0))
        made.append(_task(f"vc-{formula}", cell, fast.model_copy(update={"method": "vc-relax"}), table, 2.0))
        cost = estimate_cpu_s(cell, fast, table) * 3 * larger**1.5
        made.append(Task(f"plain-{formula}", cost, plain_vc_relax(cell, for_crystal(cell, fast), table)))
    for element in sorted({site for row in rows if "e_f_mp2020" in row for site in row["sites"]}):
        settings = reference_settings(element, fast)
        made.append(_task(f"element-{element}", reference_structure(element), settings, table))
    return sorted(made, key=lambda task: task.estimate_s)


def _task(name: str, cell: Structure, settings: PwSettings, table: PseudoTable, times: float = 1.0) -> Task:
    return Task(name, times * estimate_cpu_s(cell, settings, table), relaxation(cell, settings, table))


def compute(task: Task, cache: Path) -> dict[str, Any]:
    """From the cache, or now; what a killed run had finished of it is taken from its folder."""
    file = cache / f"{task.name}.json"
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text())
        return found
    started = time.monotonic()
    result = task.work(cache / "runs" / task.name)
    result["wall_s"] = time.monotonic() - started
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1))
    partial.replace(file)
    return result


def throughput(table: PseudoTable, cache: Path, count: int = 4) -> dict[str, Any]:
    """Wall seconds of the same SCFs one after the other, and two at a time. Wants two free cores."""
    row = {"prototype": "rocksalt", "sites": ["Mg", "O"], "a_ang": 4.25}
    text = pw_input_text(primitive_cell(crystal(row)), preset("fast"), table, "scf")

    def timed(slots: int) -> float:
        started = time.monotonic()
        with ThreadPoolExecutor(slots) as pool:
            list(pool.map(lambda k: run_pw(text, cache / "slots" / f"{slots}-{k}", LaunchOptions()), range(count)))
        return time.monotonic() - started

    one, two = timed(1), timed(2)
    shutil.rmtree(cache / "slots", ignore_errors=True)
    return {"jobs": count, "one_slot_s": round(one, 1), "two_slots_s": round(two, 1), "ratio": round(one / two, 2)}


def finished(cache: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(cache.glob("*.json")):
        yield file.stem, json.loads(file.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder of finished calculations")
    parser.add_argument("--pseudos", type=Path, default=Path(".crystalloop/pseudos"))
    parser.add_argument("--long", action="store_true", help="all compounds; hours of one core")
    parser.add_argument("--slots", action="store_true", help="throughput of two slots; wants two free cores")
    parser.add_argument("--report", action="store_true", help="compute nothing")
    given = parser.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    listed = yaml.safe_load(TABLE.read_text())
    if not given.report:
        table = PseudoTable.load(given.pseudos)
        todo = tasks(listed, table, given.long)
        for number, task in enumerate(todo, start=1):
            result = compute(task, given.cache)
            seen = result.get("failure") or f"a {result['a_ang']:.4f} angstrom"
            print(f"{number}/{len(todo)} {task.name}: {seen}, {result['cpu_s']:.1f} CPU s", file=sys.stderr, flush=True)
        if given.slots:
            (given.cache / "slots.json").write_text(json.dumps(throughput(table, given.cache)))
    print(json.dumps(report(listed, dict(finished(given.cache))), indent=1))


if __name__ == "__main__":
    main()
