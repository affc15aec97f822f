"""Crystals that `generate` made: what a row says of each, as JSON and as CIF files. Drawing them: `request`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.io.cif import CifWriter

from crystalloop.models.crystals.contacts import contact_ratio
from crystalloop.models.crystals.prototypes import match_prototype
from crystalloop.models.draw.proposal import Proposal

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


@dataclass(frozen=True)
class Generated:
    """What came out.

    Attributes:
        made: the crystals, at most as many as asked for.
        rows: what the table shows of each.
        funnel: stage -> how many came so far, in order.
        failures: why maps gave no crystal, counted.
        notes: what the user should know of the call.
    """

    made: tuple[Proposal, ...]
    rows: tuple[dict[str, Any], ...]
    funnel: dict[str, int]
    failures: dict[str, int]
    notes: tuple[str, ...] = ()


def row_of(proposal: Proposal) -> dict[str, Any]:
    """What the table shows of a crystal, and more; None where a value is not known."""
    structure = proposal.structure
    symbol, _ = structure.get_space_group_info(symprec=0.01)
    prototype = match_prototype(structure)
    return {
        "formula": str(structure.composition.reduced_formula),
        "prototype": str(prototype) if prototype else None,
        "space_group": symbol,
        "a_ang": round(float(structure.lattice.a), 4),
        "atoms": len(structure),
        "contact": round(contact_ratio(proposal.crystal), 3),
        "confidence": round(float(proposal.confidence), 3),
        "novelty": proposal.novelty,
        "kind": str(proposal.kind),
        "bases": list(proposal.bases),
        "e_f_sigma": proposal.sigma,
        "predicted": dict(proposal.predicted),
    }


def write_crystals(folder: Path, generated: Generated) -> list[Path]:
    """One CIF file for each crystal, symmetry included, and table.json; the CIF files' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [
        folder / f"{number:03d}-{row['formula']}-{row['prototype'] or _plain(row['space_group'])}.cif"
        for number, row in enumerate(generated.rows, start=1)
    ]
    for path, made in zip(paths, generated.made, strict=True):
        path.write_text(str(CifWriter(made.structure)), encoding="utf-8")
    (folder / "table.json").write_text(json.dumps(as_json(generated, paths), indent=1), encoding="utf-8")
    return paths


def as_json(generated: Generated, paths: Sequence[Path] = ()) -> dict[str, Any]:
    """Funnel, failures and rows with their crystals; with the CIF files' names where they were written."""
    names: list[str | None] = [path.name for path in paths] or [None] * len(generated.made)
    return {
        "funnel": generated.funnel,
        "failures": generated.failures,
        "notes": list(generated.notes),
        "crystals": [
            {**row, "cif": name, **_layout(made.structure)}
            for made, row, name in zip(generated.made, generated.rows, names, strict=True)
        ],
    }


def _layout(structure: Structure) -> dict[str, Any]:
    """The crystal as a row of a data file has it."""
    return {
        "lattice": np.round(structure.lattice.matrix, 6).tolist(),
        "species": [site.specie.symbol for site in structure],
        "frac_coords": np.round(structure.frac_coords, 6).tolist(),
    }


def _plain(symbol: str) -> str:
    """A space group's symbol as part of a file name."""
    return symbol.replace("/", "_")
