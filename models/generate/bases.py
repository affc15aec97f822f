"""Compounds that a user names, as bases to generate from, and whether a crystal was trained on. No networks."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.composition import Composition

from crystalloop.models.crystals.compounds import parse_compound
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.crystals.prototypes import Prototype, multiplicities
from crystalloop.models.crystals.structures import conventional, decorate, match_prototype
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.data.files import read_crystals
from crystalloop.models.draw.proposal import Base

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


class CompoundError(Exception):
    """A compound that is not known, or that the networks cannot draw; the message says what to write."""

    exit_kind = "usage"


class TrainingCrystals:
    """The crystals that the networks were trained on, looked up by formula; none where they are not at hand."""

    def __init__(self, corpus: Corpus | None) -> None:
        self._corpus = corpus
        self._known = KnownCrystals([] if corpus is None else corpus.crystals)
        self._rows: dict[str, list[int]] = defaultdict(list)
        for row, formula in enumerate([] if corpus is None else corpus.formulas):
            self._rows[formula].append(row)

    def novelty(self, crystal: Crystal) -> str:
        """`new formula`, `new structure` or `known`; `unknown` where the training crystals are not at hand."""
        return "unknown" if self._corpus is None else self._known.novelty(crystal)

    def of_formula(self, formula: str) -> list[tuple[Crystal, float | None]]:
        """Training crystals of a reduced formula with their formation energies, the most stable first."""
        if self._corpus is None:
            return []
        e_f = self._corpus.labels[:, PROPERTIES.index(E_F)]
        found = [(self._corpus.crystals[row], float(e_f[row])) for row in self._rows.get(formula, [])]
        found.sort(key=lambda pair: np.nan_to_num(pair[1], nan=np.inf))
        return [(crystal, None if np.isnan(e_f) else e_f) for crystal, e_f in found]


def read_base(text: str, known: TrainingCrystals, *, cubic: bool) -> Base:
    """A base from `NaCl` (a training crystal), `NaCl:rocksalt_B1` (trained on, else decorated) or a CIF file.

    Raises:
        CompoundError: none of these, or a cell that networks of cubic cells cannot draw.
        DataError: a CIF file that cannot be read.
    """
    if text.lower().endswith(".cif") or Path(text).is_file():
        crystal, e_f = _from_cif(Path(text)), None
    elif ":" in text:
        crystal, e_f = _from_prototype(text, known)
    else:
        crystal, e_f = _from_formula(text, known)
    if cubic and not crystal.is_cubic():
        edges = crystal.lengths_ang.round(3).tolist()
        raise CompoundError(f"{text}: its conventional cell has edges {edges} A, and these networks draw cubic cells")
    return Base(text, crystal, e_f)


def _from_cif(path: Path) -> Crystal:
    if not path.is_file():
        raise CompoundError(f"{path}: no such file; give a CIF file that is there, or a formula")
    crystals = read_crystals(path).crystals
    if len(crystals) != 1:
        raise CompoundError(f"{path} holds {len(crystals)} crystals; give one CIF file, or a formula")
    return Crystal.from_structure(conventional(crystals[0].structure))


def _from_prototype(text: str, known: TrainingCrystals) -> tuple[Crystal, float | None]:
    try:
        compound = parse_compound(text)
    except ValueError as error:
        raise CompoundError(str(error)) from error
    wanted = decorate(compound.prototype, compound.elements)
    for crystal, e_f in known.of_formula(wanted.composition.reduced_formula):
        structure = crystal.to_structure()
        if match_prototype(structure) == compound.prototype and _same_sites(structure, wanted):
            return crystal, e_f
    return Crystal.from_structure(wanted), None


def _same_sites(first: Structure, second: Structure) -> bool:
    """Whether the same elements sit on the same sites, whatever the volume (Al2FeV is not AlFe2V, SrTiO3 not TiSrO3)."""
    return KnownCrystals([second]).knows(first)


def _from_formula(text: str, known: TrainingCrystals) -> tuple[Crystal, float | None]:
    try:
        composition = Composition(text, strict=True)
    except ValueError as error:
        raise CompoundError(
            f"{text!r} is no chemical formula; write e.g. NaCl, NaCl:{Prototype.ROCKSALT} or a CIF file"
        ) from error
    formula = str(composition.reduced_formula)
    found = known.of_formula(formula)
    if found:
        return found[0]
    counts = sorted(int(count) for count in composition.reduced_composition.values())
    fitting = [f"{text}:{prototype}" for prototype in Prototype if sorted(multiplicities(prototype)) == counts]
    next_move = f"write {' or '.join(fitting)}, or" if fitting else "give"
    raise CompoundError(f"{text} is none of the training crystals; {next_move} a CIF file")
