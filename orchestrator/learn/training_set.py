"""What a campaign's networks are trained on: its own DFT, data files, decorated prototypes, as a Corpus. Records in. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crystalloop.db.ledger.records import Candidate
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F, label_array
from crystalloop.models.data.corpus import Corpus
from crystalloop.models.data.files import KnownCrystal
from crystalloop.models.draw.proposal import Proposal

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

Example = tuple[str, Crystal, Mapping[str, float]]
"""Where a crystal comes from, the crystal, and its labels by property."""


@dataclass(frozen=True)
class Sources:
    """What a campaign knows besides its own calculations: the crystals of its data files, and the decorated prototypes."""

    files: tuple[KnownCrystal, ...] = ()
    decorated: tuple[Proposal, ...] = ()

    @property
    def labelled(self) -> int:
        """Crystals of files with a formation energy."""
        return sum(E_F in crystal.labels for crystal in self.files)

    def training_set(self, candidates: Iterable[Candidate]) -> tuple[Corpus, tuple[str, ...]]:
        """These, after the campaign's candidates; see build_training_set."""
        return build_training_set(candidates, self.files, self.decorated)

    def agreement(self, candidates: Iterable[Candidate]) -> str | None:
        """How far labels of files are from pw.x, for crystals that both have, as a sentence; None where there are none."""
        by_formula: dict[str, list[KnownCrystal]] = {}
        for one in self.files:
            if E_F in one.labels:
                by_formula.setdefault(str(one.structure.composition.reduced_formula), []).append(one)
        errors_ev = [
            label.labels[E_F] - candidate.e_f
            for candidate in candidates
            if candidate.e_f is not None
            and candidate.relaxation is not None
            and (label := _same(candidate.relaxation.conventional.to_structure(), by_formula)) is not None
        ]
        if not errors_ev:
            return None
        mean_ev = float(np.mean(errors_ev))
        told = (
            f"{len(errors_ev)} crystals are in the data files and computed here, too: labels less pw.x are {mean_ev:+.3f} eV/atom "
            f"on average, {np.mean(np.abs(errors_ev)):.3f} in size"
        )
        is_off = len(errors_ev) >= OFF_COUNT and abs(mean_ev) > OFF_EV
        return f"{told}: another scheme? say `scheme:` of the data file in a new campaign" if is_off else told


OFF_COUNT, OFF_EV = 3, 0.1
"""So many common crystals whose labels are on average so far from pw.x (eV/atom) are told to be of another scheme."""


def _same(structure: Structure, by_formula: Mapping[str, Sequence[KnownCrystal]]) -> KnownCrystal | None:
    known = by_formula.get(str(structure.composition.reduced_formula), ())
    return next((one for one in known if KnownCrystals([one.structure]).knows(structure)), None)


def build_training_set(
    candidates: Iterable[Candidate], known: Sequence[KnownCrystal], decorated: Sequence[Proposal]
) -> tuple[Corpus, tuple[str, ...]]:
    """Put together what is known, best source first: own DFT, then files, then decorations nobody has computed.

    Labelled crystals train all three networks. Unlabelled ones (decorations not computed yet, crystals of a file without
    an energy) have NaN for labels: they train the UNet, which needs none, and the VAE's reconstruction with the condition
    left out (all zeros); the CGCNN never sees them.

    Formation energies of files are on the scale of plain PBE already (models.data.energy_schemes), as those of pw.x are.
    Total energies are taken from pw.x alone where any file brings its own, because totals of two codes have no common zero.

    Returns:
        The crystals, all of them to train on, and the ids of the candidates whose energies are labels.
    """
    computed = sorted((c for c in candidates if c.is_labelled), key=lambda c: c.id)
    file_totals = any("energy_per_atom" in crystal.labels for crystal in known)
    examples = [_from_candidate(candidate, with_total=not file_totals) for candidate in computed]
    examples += [(f"file:{one.where}", Crystal.from_structure(one.structure), one.labels) for one in known]
    seen = KnownCrystals(crystal for _, crystal, _ in examples)
    examples += [("decorated", one.crystal, {}) for one in decorated if not seen.knows(one.crystal)]
    return _corpus(examples), tuple(candidate.id for candidate in computed)


def _corpus(examples: Sequence[Example]) -> Corpus:
    crystals = tuple(crystal for _, crystal, _ in examples)
    return Corpus(
        ids=tuple(where for where, _, _ in examples),
        formulas=tuple(crystal.formula for crystal in crystals),
        crystals=crystals,
        labels=label_array([labels for _, _, labels in examples]),
        split=np.full(len(examples), "train", dtype="<U5"),
        groups=("",) * len(examples),
    )


def _from_candidate(candidate: Candidate, *, with_total: bool) -> Example:
    relaxation = candidate.relaxation
    if relaxation is None or candidate.e_f is None:
        raise ValueError(f"candidate {candidate.id} is not computed; filter with is_labelled first")
    labels = {E_F: candidate.e_f}
    if with_total:
        labels["energy_per_atom"] = relaxation.energy_per_atom_ev
    return f"dft:{candidate.id}", Crystal.from_structure(relaxation.conventional.to_structure()), labels
