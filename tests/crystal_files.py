"""Small data files for the tests of the commands: decorated prototypes with made-up labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tiny_networks import OVERRIDES, salts

from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import symbol_of
from crystalloop.models.learn.job import TrainResources
from crystalloop.orchestrator.learn.inputs import TrainRequest

SPLITS = ("train", "train", "train", "train", "val", "test")


def row_of(crystal: Crystal, **fields) -> dict:
    return {
        "id": fields.pop("id", "x"),
        "lattice": crystal.lattice.tolist(),
        "species": [symbol_of(int(number)) for number in crystal.numbers],
        "frac_coords": crystal.frac_coords.tolist(),
        **fields,
    }


def salt_rows() -> list[dict]:
    """Six salts in B1 and in B2 with formation energies: four formulas in train, one each in val and test."""
    crystals, values = salts(), np.linspace(-3.0, -0.5, 12).round(3)
    classes = ["rocksalt_B1"] * 6 + ["CsCl_B2"] * 6
    return [
        row_of(
            crystal, id=f"s-{i}", prototype=classes[i], split=SPLITS[i % 6], formation_energy_per_atom=float(values[i])
        )
        for i, crystal in enumerate(crystals)
    ]


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def tiny_request(folder: Path, data: Path, **changes) -> TrainRequest:
    fields = {"n": 8, "epochs": {"unet": 4, "vae": 4, "cgcnn": 4}, "overrides": OVERRIDES}
    return TrainRequest((data,), folder, resources=TrainResources(num_workers=0), **(fields | changes))
