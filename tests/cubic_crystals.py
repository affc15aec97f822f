"""Small real and decorated crystals for the tests of models/."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_number, atomic_numbers
from crystalloop.models.crystals.prototypes import Prototype, roles, sites
from crystalloop.models.crystals.structures import estimate_a_ang


def decorated(prototype: Prototype, elements: tuple[str, ...], a_ang: float | None = None) -> Crystal:
    role_of, frac_coords = sites(prototype)
    numbers = np.array([atomic_number(elements[role]) for role in role_of])
    edge = estimate_a_ang(prototype, elements) if a_ang is None else a_ang
    return Crystal(np.eye(3) * edge, numbers, frac_coords)


def decorated_sample(count: int) -> list[Crystal]:
    """All prototypes in turn, over elements up to bismuth, without hydrogen and noble gases, whose
    radius of 1.20 angstrom is a placeholder and wider than the cells they would make; the same sample every time."""
    rng = np.random.default_rng(20)
    pool = [symbol for symbol in list(atomic_numbers())[:83] if symbol not in {"H", "He", "Ne", "Ar", "Kr", "Xe"}]
    kinds = [list(Prototype)[index % len(Prototype)] for index in range(count)]
    return [decorated(kind, tuple(rng.choice(pool, len(roles(kind)), replace=False).tolist())) for kind in kinds]


def shared_records(folder: Path, count: int) -> list[dict]:
    """Evenly spread records of the shared cubic crystals: the same sample every time."""
    with gzip.open(folder / "cubic_three_classes.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return [records[index] for index in np.linspace(0, len(records) - 1, count).astype(int)]


def crystal_of(record: dict) -> Crystal:
    numbers = np.array([atomic_number(symbol) for symbol in record["species"]])
    return Crystal(np.eye(3) * record["a"], numbers, np.array(record["frac_coords"]))
