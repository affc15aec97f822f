"""Failures planted into real runs of pw.x, and whether the relaxation ends well by itself. Prints JSON.

    python bench/planted.py UPF_FOLDER --cache FOLDER [--only NAME ...] [--report]

with the pw.x on PATH.
The first launch of each relaxation of lithium or lithium fluoride is spoilt (its input, its command, its files or what
it wrote); all else is as in production. `recognised`: the failure was called by its name. `cured`: the relaxation was
accepted after that, and the volume is the known one, to 2.5 % in the edge: lithium is soft, the test preset's 5 kbar
alone are 1.2 %. `false_success`: accepted with another volume, or where nothing can cure the failure. Every case is a
file of the cache; those that are there are not run again, and the last lines count all of them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from measure import environment
from planted_cases import CASES, Planted, Wanted
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from crystalloop.dft.heal.failures import PwFailure
from crystalloop.dft.pw.command import pw_version
from crystalloop.dft.pw.launch import LaunchOptions, PwRun
from crystalloop.dft.pw.run import run_pw
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.dft.recipe.settings import PwSettings, preset
from crystalloop.dft.relax.calculation import MachineFault
from crystalloop.dft.relax.outcome import GaveUp, Relaxed
from crystalloop.dft.relax.relax import relax

EDGE_ANG = {"Li": 3.44, "LiF": 4.06}
TOLERANCE = 0.025


class Spoilt:
    """run_pw with the first launch spoilt, or all of them where that cannot be cured."""

    def __init__(self, planted: Planted) -> None:
        self.planted, self.launches = planted, 0

    def __call__(self, input_text: str, folder: Path, options: LaunchOptions) -> PwRun:
        """As `run_pw`."""
        planted, text = self.planted, input_text
        self.launches += 1
        if self.launches > 1 and planted.wanted is Wanted.CURED:
            if planted.files and self.launches == 2 and options.resume:
                planted.files(options.resume)
            return run_pw(text, folder, options)
        for old, new in planted.text:
            if old not in text:
                raise ValueError(f"{old!r} is not in the input")
            text = text.replace(old, new)
        if planted.before:
            planted.before(folder)
        ran = run_pw(text, folder, replace(options, **planted.options))
        return planted.output(ran) if planted.output else ran


def crystal(planted: Planted) -> Structure:
    if planted.compound == "Li":
        return Structure.from_spacegroup("Im-3m", Lattice.cubic(planted.a_ang), ["Li"], [[0, 0, 0]])
    primitive = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(planted.a_ang), ["Li", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ).get_primitive_structure()
    primitive.translate_sites([1], [planted.shift] * 3)
    return primitive


def measure(name: str, table: PseudoTable, folder: Path) -> dict[str, Any]:
    planted = CASES[name]
    settings = PwSettings.model_validate(preset("test").model_dump() | planted.settings)
    common = {"planted": name, "wanted": planted.wanted.value, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        result = relax(crystal(planted), settings, table, folder, run=Spoilt(planted))
    except MachineFault as error:
        return (
            common
            | judged(planted, None, recognised=PwFailure[name.upper()].meaning in str(error))
            | {"error": str(error).replace(str(folder), "FOLDER")}
        )
    continued = "continued" in " ".join(attempt.detail for attempt in result.attempts)
    recognised = any(attempt.outcome in (name, *planted.also) for attempt in result.attempts)
    stopped = name in ("out_of_time", "stopped_by_user") and continued  # goes on within the attempt
    return (
        common
        | judged(planted, result, recognised or stopped)
        | {
            "attempts": [[attempt.outcome, attempt.correction] for attempt in result.attempts],
            "a_ang": round(edge_ang(result, planted), 4) if isinstance(result, Relaxed) else None,
            "pressure_kbar": round(result.pressure_kbar, 2) if isinstance(result, Relaxed) else None,
            "cpu_s": round(result.cpu_s, 1),
        }
    )


def edge_ang(result: Relaxed, planted: Planted) -> float:
    """Of the cubic cell of the same volume: a crystal whose symmetry was lost on the way has other conventional edges."""
    atoms = 2 if planted.compound == "Li" else 8
    return float((atoms * result.structure.volume / len(result.structure)) ** (1 / 3))


def judged(planted: Planted, result: Relaxed | GaveUp | None, recognised: bool) -> dict[str, bool]:
    """Whether the end is the one that is wanted; no result is an error of the machine."""
    accepted = isinstance(result, Relaxed)
    right = isinstance(result, Relaxed) and abs(edge_ang(result, planted) / EDGE_ANG[planted.compound] - 1) < TOLERANCE
    curable = planted.wanted is Wanted.CURED
    return {
        "recognised": recognised,
        "cured": recognised and right and curable,
        "refused": recognised and not accepted and not curable,
        "false_success": accepted and not (right and curable),
    }


def total(rows: list[dict[str, Any]]) -> dict[str, Any]:
    counted = ("recognised", "cured", "refused", "false_success")
    curable = sum(row["wanted"] == Wanted.CURED.value for row in rows)
    return {
        "planted": len(rows),
        "curable": curable,
        **{name: sum(row[name] for row in rows) for name in counted},
        "cpu_s": round(sum(row.get("cpu_s", 0.0) for row in rows), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pseudos", type=Path)
    parser.add_argument("--cache", type=Path, required=True, help="folder of finished cases, one JSON file each")
    parser.add_argument("--only", nargs="*", choices=CASES)
    parser.add_argument("--report", action="store_true", help="run nothing; the finished cases and their count as JSON")
    given = parser.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    for name in () if given.report else given.only or CASES:
        file = given.cache / f"{name}.json"
        if not file.exists():
            with tempfile.TemporaryDirectory() as temporary:
                row = measure(name, PseudoTable.load(given.pseudos), Path(temporary) / name)
            file.write_text(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
    files = [given.cache / f"{name}.json" for name in CASES]
    rows = [json.loads(file.read_text()) for file in files if file.exists()]
    if given.report:
        release = {"pw_version": pw_version("pw.x")}  # of the pw.x on PATH: one cache, one release
        print(json.dumps({**total(rows), **release, "environment": environment(), "cases": rows}, indent=1))
    else:
        print(json.dumps(total(rows)))


if __name__ == "__main__":
    main()
