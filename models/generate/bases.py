"""Compounds that a user names, as bases to generate from, and whether a crystal was trained on. No networks."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crystalloop.models.crystals.crystal import Crystal, conventional
from crystalloop.models.crystals.formulas import parse_compound
from crystalloop.models.crystals.known import DistinctCrystals
from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.crystals.prototypes import Prototype, match_prototype, multiplicities
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.data.files import read_crystals

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from crystalloop.models.draw.proposal import Base


_E_F = PROPERTIES.index("formation_energy_per_atom")


class CompoundError(Exception):
    """A compound that is not known, or that the networks cannot draw; the message says what to write."""

    exit_kind = "usage"


class KnownCrystals:
    """The crystals that the networks were trained on, looked up by formula."""

    def __init__(self, corpus: Corpus | None) -> None:
        self._corpus = corpus
        self._crystals = DistinctCrystals()
        self._rows: dict[str, list[int]] = defaultdict(list)
        if corpus is not None:
            for row, (formula, crystal) in enumerate(zip(corpus.formulas, corpus.crystals, strict=True)):
                self._rows[formula].append(row)
                self._crystals.add(formula, crystal.to_structure)

    def novelty(self, structure: Structure) -> str | None:
        """`new formula`, `new structure` or `known`; None where the training crystals are not at hand."""
        if self._corpus is None:
            return None
        if structure.composition.reduced_formula not in self._rows:
            return "new formula"
        return "known" if self._crystals.knows(structure) else "new structure"

    def of_formula(self, formula: str) -> list[tuple[Crystal, float | None]]:
        """Training crystals of a reduced formula with their formation energies, the most stable first."""
        if self._corpus is None:
            return []
        found = [
            (self._corpus.crystals[row], float(self._corpus.labels[row, _E_F])) for row in self._rows.get(formula, [])
        ]
        found.sort(key=lambda pair: np.nan_to_num(pair[1], nan=np.inf))
        return [(crystal, None if np.isnan(e_f) else e_f) for crystal, e_f in found]


def read_base(text: str, known: KnownCrystals, *, cubic: bool) -> Base:
    """A base from `NaCl` (a training crystal), `NaCl:rocksalt_B1` (trained on, else decorated) or a CIF file.

    Raises:
        CompoundError: none of these, or a cell that networks of cubic cells cannot draw.
        DataError: a CIF file that cannot be read.
    """
    from crystalloop.models.draw.proposal import Base

    if text.endswith(".cif") or Path(text).is_file():
        crystal, e_f = _from_cif(Path(text)), None
    elif ":" in text:
        crystal, e_f = _from_prototype(text, known)
    else:
        crystal, e_f = _from_formula(text, known)
    edges = crystal.lengths_ang
    if cubic and (not crystal.is_orthogonal or np.ptp(edges) > 1e-3 * edges.max()):
        raise CompoundError(
            f"{text}: its conventional cell has edges {edges.round(3).tolist()} A, and these networks draw cubic cells"
        )
    return Base(text, crystal, e_f)


def _from_cif(path: Path) -> Crystal:
    if not path.is_file():
        raise CompoundError(f"{path}: no such file; give a CIF file that is there, or a formula")
    (read,) = read_crystals(path).crystals
    return Crystal.from_structure(conventional(read.structure))


def _from_prototype(text: str, known: KnownCrystals) -> tuple[Crystal, float | None]:
    try:
        compound = parse_compound(text)
    except ValueError as error:
        raise CompoundError(str(error)) from error
    wanted = compound.structure()
    for crystal, e_f in known.of_formula(wanted.composition.reduced_formula):
        structure = crystal.to_structure()
        if match_prototype(structure) == compound.prototype and _same_sites(structure, wanted):
            return crystal, e_f
    return Crystal.from_structure(wanted), None


def _same_sites(first: Structure, second: Structure) -> bool:
    """Whether the same elements sit on the same sites, whatever the volume (Al2FeV is not AlFe2V, SrTiO3 not TiSrO3)."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    return bool(StructureMatcher(primitive_cell=True, scale=True).fit(first, second))


def _from_formula(text: str, known: KnownCrystals) -> tuple[Crystal, float | None]:
    from pymatgen.core.composition import Composition

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
