"""How many damaged inputs end in a crystal, in a sentence, in a traceback or not at all: every public reader, one process.

    python bench/data/fuzz_readers.py --count 100000 --seed 0 > fuzz.json

Each input is a small valid one with up to eight damages: bytes turned, text cut, doubled or moved, a word replaced by one
that is nasty somewhere. Printed as JSON: outcomes by kind of input, tracebacks by kind and place, the slowest input, peak
memory. `--keep FOLDER` gets the inputs that ended in a traceback or took longer than 5 s.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from crystalloop.db.query.to_predicate import row_test
from crystalloop.models.data.files import read_crystals
from crystalloop.models.formats.one_crystal import read_crystal
from crystalloop.orchestrator.campaign.read import read_campaign

LIMIT_S = 5.0
CELL = (
    "\n".join(f"_cell_length_{x} 4.12" for x in "abc")
    + "\n"
    + "\n".join(f"_cell_angle_{x} 90" for x in ("alpha", "beta", "gamma"))
)
CIF = f"""data_x
_chemical_formula_sum 'Cs Cl'
_cell_formula_units_Z 1
_symmetry_space_group_name_H-M 'P m -3 m'
_symmetry_Int_Tables_number 221
{CELL}
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Cs1 Cs1+ 0.0000 0 0 1
Cl1 Cl1- 0.5(1) 0.5 0.5 1.0
"""
ROW = {"id": "g1", "species": ["Cs", "Cl"], "a": 4.12, "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]], "band_gap": 5.0}
CSV = (
    'id,species,a,frac_coords,formation_energy_per_atom,class\ng1,"[""Cs"", ""Cl""]",4.12,"[[0, 0, 0], [0.5, 0.5, 0.5]]",'
    '-2.0,salt\ng2,"[""Li"", ""F""]",2.6,"[[0, 0, 0], [0.5, 0.5, 0.5]]",-2.1,salt\n'
)
JSONL = f"{json.dumps(ROW)}\n{json.dumps(ROW | {'a': None, 'lattice': [4, 4, 5, 90, 90, 120]})}\n"
POSCAR = (
    "CsCl\n1.0\n4.12 0 0\n0 4.12 0\n0 0 4.12\nCs Cl\n1 1\nSelective dynamics\nDirect\n0 0 0 T T F\n0.5 0.5 0.5 T T T\n"
)
XYZ = (
    '2\nLattice="4.12 0 0 0 4.12 0 0 0 4.12" Properties=species:S:1:pos:R:3 pbc="T T T"\nCs 0 0 0\nCl 2.06 2.06 2.06\n'
)
SITES = [
    {"species": [{"element": symbol, "occu": 1}], "abc": [x, x, x], "properties": {}}
    for symbol, x in (("Cs", 0.0), ("Cl", 0.5))
]
JSON = json.dumps({"structure": {"lattice": {"matrix": [[4.12, 0, 0], [0, 4.12, 0], [0, 0, 4.12]]}, "sites": SITES}})
YAML = """name: first
elements: [Li, Na, F, Cl]
prototypes: [rocksalt_B1, CsCl_B2]
target: {property: formation_energy_per_atom, minimum: -3.0, maximum: -1.0}
dft: {preset: test, slots: 1, per_round: 2}
rounds: 2
seed: 3
budget: {relaxations: 8, wall_minutes: 10}
data: [{path: d.jsonl, where: {class: binary_AB}, limit: 10, bad_rows: skip}]
"""
PW = """&CONTROL
 calculation='scf'
/
&SYSTEM
 ibrav=1, celldm(1)=7.786, nat=2, ntyp=2, ecutwfc=40
/
&ELECTRONS
/
ATOMIC_SPECIES
Cs 132.9 Cs.upf
Cl 35.45 Cl.upf
ATOMIC_POSITIONS crystal
Cs 0 0 0
Cl 0.5 0.5 0.5
K_POINTS gamma
"""
WHERE = "(class = binary_AB and band_gap > 1) or not (a in 3..4) and stable = true and n in (1, 2, 'x')"
WORDS = (
    "nan NaN inf -inf 1e400 -1 0 00 1e-400 99999999999999999999 1_000 4,12 true True null ~ yes No . ? - + * & << % @ | > !!int "
    "2026-13-45 0x10 1:30 'x \" [ ] { } ( ) , ; : # \\ / \\u0000 \\ud800 Qq Va D X 4.12(1) 1/3 and or not in between = < loop_ "
    "data_y _cell_length_a Lattice= Direct Cartesian T F ../../x $HOME \u00e9 \u0663 \u2212 \ufeff"
)
LONG = ["\t", "\r", "\0", "\n\n", "[" * 400, "{" * 400, "(" * 3000, "9" * 5000, " " * 300, ",,,,", "&a [*a, *a]"]
NASTY = [*WORDS.split(), *LONG]
SUFFIXES = {"cif": "a.cif", "csv": "a.csv", "jsonl": "a.jsonl", "gz": "a.jsonl.gz", "poscar": "POSCAR"} | {
    "extxyz": "a.xyz", "json": "a.json", "pw": "a.in", "yaml": "a.yaml", "where": "a.where"
}  # fmt: skip
SEEDS = {"cif": CIF, "csv": CSV, "jsonl": JSONL, "gz": JSONL, "poscar": POSCAR, "extxyz": XYZ, "json": JSON, "pw": PW} | {
    "yaml": YAML, "where": WHERE
}  # fmt: skip


class TooLong(BaseException):
    """An input that takes longer than it may."""


def table(path: Path) -> object:
    """Both ways of reading a table."""
    read = read_crystals(path, skip_bad=True)
    return read_crystals(path) if not (read.left_out or read.notes) else read


READERS: dict[str, Callable[[Path], object]] = dict.fromkeys(("csv", "jsonl", "gz"), table)
READERS |= dict.fromkeys(("cif", "poscar", "extxyz", "json", "pw"), read_crystal)
READERS |= {
    "yaml": read_campaign,
    "where": lambda path: row_test(path.read_text(encoding="utf-8", errors="replace"))(ROW),
}


def damaged(text: str, rng: random.Random) -> str:
    """The text with up to eight damages."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        words = re.findall(r"\w+|\s+|[^\w\s]", text)
        at, to = sorted(rng.randrange(len(words) + 1) for _ in range(2))
        match rng.randrange(7):
            case 0:
                words[at : at + 1] = [rng.choice(NASTY)]
            case 1:
                words[at:at] = [rng.choice(NASTY)]
            case 2:
                del words[at : min(to, at + 6)]
            case 3:
                words[at:at] = words[at:to] * rng.choice((1, 1, 2))
            case 4:
                words = words[:to] if rng.random() < 0.3 else words[:at] + words[at + 1 :]
            case 5:
                lines = text.split("\n")
                first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
                lines[first], lines[second] = lines[second], lines[first]
                words = ["\n".join(lines)]
            case _:
                words[at : at + 1] = [
                    str(rng.choice((rng.uniform(-9, 9), rng.randint(-999, 9999), 10.0 ** rng.randint(-9, 9))))
                ]
        text = "".join(words)[:200_000]
    return text


def content(kind: str, rng: random.Random) -> bytes:
    """The bytes of an input."""
    text = damaged(SEEDS[kind], rng)
    encoding = rng.choice(("utf-8",) * 20 + ("latin-1", "utf-16", "utf-8-sig"))
    found = text.encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass")
    if kind == "gz":
        found = gzip.compress(found, 1, mtime=0)
    if rng.random() < (0.6 if kind == "gz" else 0.05):
        at = rng.randrange(len(found) + 1)
        found = found[:at] + rng.randbytes(rng.randrange(4)) + found[at + rng.randrange(4) :]
    return found


def outcome(kind: str, path: Path) -> str:
    """read, refused, or what else happened: a traceback's kind and place, a hang, a warning of a library."""
    signal.setitimer(signal.ITIMER_REAL, 2 * LIMIT_S)
    try:
        READERS[kind](path)
    except TooLong:
        return "hang"
    except Warning as warning:
        return f"warning {type(warning).__name__}: {str(warning)[:80]}"
    except Exception as error:  # noqa: BLE001  (what else there is, is what this counts)
        if getattr(error, "exit_kind", None) == "usage":
            return "refused"
        last = traceback.extract_tb(error.__traceback__)[-1]
        ours = next(
            (f for f in reversed(traceback.extract_tb(error.__traceback__)) if "crystalloop" in f.filename), last
        )
        return f"traceback {type(error).__name__} at {Path(ours.filename).name}:{ours.lineno}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "read"


def stop(_signal: int, _frame: FrameType | None) -> None:
    """End an input that takes too long."""
    raise TooLong


def main() -> None:
    """Fuzz, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="inputs, all kinds in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--keep", type=Path, help="gets inputs that ended in a traceback, a warning or a hang")
    args = parser.parse_args()
    signal.signal(signal.SIGALRM, stop)
    warnings.simplefilter("error")
    found: dict[str, Counter[str]] = defaultdict(Counter)
    wrong: Counter[str] = Counter()
    slowest = (0.0, "", 0)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.count):
            kind = args.kinds[number % len(args.kinds)]
            path = Path(folder) / SUFFIXES[kind]
            path.write_bytes(content(kind, random.Random(f"{args.seed} {number}")))
            begun = time.monotonic()
            said = outcome(kind, path)
            took = time.monotonic() - begun
            slowest = max(slowest, (took, kind, number))
            found[kind][said.split()[0]] += 1
            if said not in ("read", "refused"):
                wrong[f"{kind}: {said}"] += 1
            if args.keep and (said not in ("read", "refused") or took > LIMIT_S):
                args.keep.mkdir(parents=True, exist_ok=True)
                (args.keep / f"{args.seed}-{number}-{path.name}").write_bytes(path.read_bytes())
    report = {
        "inputs": args.count,
        "seed": args.seed,
        "outcomes": {kind: dict(counts) for kind, counts in found.items()},
        "tracebacks": dict(wrong.most_common()),
        "over_5_s": sum(counts["hang"] for counts in found.values()),
        "slowest_s": round(slowest[0], 3),
        "slowest": f"{slowest[1]} {slowest[2]}",
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    json.dump(report, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
