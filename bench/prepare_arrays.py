"""Data files to one array file that bench/gpu_reproduce.py trains from: crystals, labels, split. No pymatgen, no networks.

bench/prepare_arrays.py FILE [FILE ...] --out cubic.npz [--cell cubic] [--bad-rows skip]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arrays import write
from measure import environment

from crystalloop.models.data.corpus import read_corpus

MOST_MB = 60


def main(arguments: Sequence[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cell", choices=("cubic", "orthorhombic"), default="cubic", help="other cells are left out")
    parser.add_argument("--bad-rows", choices=("stop", "skip"), default="skip")
    args = parser.parse_args(arguments)
    corpus, refused = read_corpus(args.files, bad_rows=args.bad_rows).with_cell(args.cell)
    write(args.out, corpus.crystals, corpus.labels, corpus.split, corpus.digest)
    size = args.out.stat().st_size / 2**20
    if size > MOST_MB:
        parser.error(f"{args.out} is {size:.0f} MB, more than {MOST_MB}; give fewer files")
    return {
        "file": args.out.name,
        "megabytes": round(size, 2),
        "crystals": len(corpus),
        "split": corpus.counts(),
        "digest": corpus.digest,
        "left_out": [*corpus.left_out, *refused][:20],
        **environment(),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=1))
