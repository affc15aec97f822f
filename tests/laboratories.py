"""Laboratories for tests: sixty rocksalts whose formation energy follows from two numbers of each element, as rows and files."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
from cubic_crystals import decorated

from crystalloop.models.crystals.properties import E_F
from crystalloop.models.crystals.prototypes import Prototype
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.acquire.greedy import Greedy
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.simulate.policies import Policy
from crystalloop.orchestrator.simulate.truth.laboratory import LabRow, judged

CATIONS = {
    "Li": 1.0,
    "Na": 0.8,
    "K": 0.7,
    "Rb": 0.65,
    "Mg": 1.4,
    "Ca": 1.5,
    "Sr": 1.45,
    "Ba": 1.3,
    "Cu": 0.2,
    "Ag": 0.1,
}
ANIONS = {"F": 1.9, "Cl": 1.3, "Br": 1.1, "O": 1.7, "S": 0.9, "I": 0.7}
TARGET = Target(maximum=-1.9, direction="minimise")


def energy(cation: str, anion: str) -> float:
    return -CATIONS[cation] * ANIONS[anion]


def rows(**changes) -> list[LabRow]:
    made = []
    for cation in CATIONS:
        for anion in ANIONS:
            crystal = decorated(Prototype.ROCKSALT, (cation, anion))
            name, value = f"{cation}{anion}", energy(cation, anion)
            made.append(LabRow(name, f"table line {len(made) + 1}", crystal, name, {E_F: value}, "rocksalt_B1", 10.0))
    return [replace(row, **changes) for row in made]


def laboratory(made=None, target=TARGET, top=None):
    return judged("salts", rows() if made is None else made, target, top, unit="eV/atom")


def campaign(**changes) -> Campaign:
    fields = {
        "name": "salts",
        "elements": [*CATIONS, *ANIONS],
        "prototypes": ["rocksalt_B1"],
        "target": {"maximum": -1.9, "direction": "minimise"},
        "laboratory": {"start": 6, "batch": 4, "calls": 24},
    }
    return Campaign.model_validate(fields | changes)


def policy(name="campaign", acquirer=None, **changes) -> Policy:
    return Policy(name, campaign(**changes), Greedy() if acquirer is None else acquirer)


class Separable:
    """Ranks by the sum of an element's mean energies so far: what a chemist would draw on a napkin."""

    def __init__(self, policy, laboratory):
        self.property = laboratory.target.property

    def rank(self, rows, earlier, round_):
        known = [(c.crystal.species, c.e_f) for c in earlier if c.is_labelled]
        everything = float(np.mean([value for _, value in known]))

        @cache
        def mean_of(symbol):
            values = [value for species, value in known if symbol in species]
            return float(np.mean(values)) if values else everything

        return [replace(row, **self._expected(row, mean_of)) for row in rows]

    def _expected(self, row, mean_of):
        value = float(np.mean([mean_of(symbol) for symbol in row.crystal.composition]))
        return {
            "predicted": {self.property: value},
            "sigmas": {self.property: 0.3},
            "interval": (value - 0.5, value + 0.5),
            "chance": float(np.clip(0.5 - (value + 1.9), 0, 1)),
        }


def jsonl(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def line(cation, anion, a=5.0, **more):
    crystal = decorated(Prototype.ROCKSALT, (cation, anion))
    species = [str(symbol) for symbol in crystal.to_structure().species]
    fields = {"id": f"{cation}{anion}", "a": a, "species": species, "frac_coords": crystal.frac_coords.tolist()}
    return fields | {"formation_energy_per_atom": energy(cation, anion)} | more


def lines():
    return [line(cation, anion) for cation in CATIONS for anion in ANIONS]
