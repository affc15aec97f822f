"""What the networks are trained on: computed candidates, data files, decorated prototypes. Records in, examples out. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crystalloop.db.ledger.records import Candidate
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.crystals.properties import E_F
from crystalloop.models.data.files import KnownCrystal
from crystalloop.models.draw.proposal import Proposal

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


@dataclass(frozen=True)
class Example:
    """One crystal to learn from.

    Attributes:
        structure: conventional cell.
        labels: property -> value; empty for an unlabelled crystal.
        source: "dft:<candidate id>", "file:<place>" or "decorated".
    """

    structure: Structure
    labels: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class TrainingSet:
    """Everything known at one point of a campaign.

    Labelled crystals train all three networks. Unlabelled ones (decorated prototypes not computed yet, crystals of a
    file without an energy) train the UNet, which needs no label, and the VAE's reconstruction with the condition left
    out (all zeros); the CGCNN never sees them.
    """

    examples: tuple[Example, ...]
    trained_on: tuple[str, ...]  # ids of the candidates whose energies are labels

    @property
    def labelled(self) -> tuple[Example, ...]:
        """Examples with a formation energy."""
        return tuple(example for example in self.examples if E_F in example.labels)

    @property
    def unlabelled(self) -> tuple[Example, ...]:
        """Examples without a formation energy."""
        return tuple(example for example in self.examples if E_F not in example.labels)

    def values(self, name: str) -> list[float]:
        """Known values of a property."""
        return [example.labels[name] for example in self.examples if name in example.labels]

    def digest(self) -> str:
        """Digest of structures (to 1e-4 A) and labels (to 1e-6), in order."""
        rows = [
            [
                [[round(x, 4) for x in row] for row in example.structure.lattice.matrix.tolist()],
                [str(site.specie) for site in example.structure],
                [[round(x, 5) for x in row] for row in example.structure.frac_coords.tolist()],
                {name: round(value, 6) for name, value in sorted(example.labels.items())},
            ]
            for example in self.examples
        ]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@dataclass(frozen=True)
class Sources:
    """What a campaign knows besides its own calculations: the crystals of its data files, and the decorated prototypes."""

    files: tuple[KnownCrystal, ...] = ()
    decorated: tuple[Proposal, ...] = ()

    @property
    def labelled(self) -> int:
        """Crystals of files with a formation energy."""
        return sum(E_F in crystal.labels for crystal in self.files)

    def training_set(self, candidates: Iterable[Candidate]) -> TrainingSet:
        """These, after the campaign's candidates."""
        return build_training_set(candidates, self.files, self.decorated)


def build_training_set(
    candidates: Iterable[Candidate], known: Sequence[KnownCrystal], decorated: Sequence[Proposal]
) -> TrainingSet:
    """Put together what is known, best source first: own DFT, then files, then decorations nobody has computed.

    Formation energies of files and of pw.x come from different schemes (docs/science/dft.md, section 3): within one
    training set the CGCNN learns both as they are. Total energies are taken from pw.x alone where any file brings its
    own, because totals of two codes have no common zero.
    """
    computed = sorted((c for c in candidates if c.is_labelled), key=lambda c: c.id)
    file_totals = any("energy_per_atom" in crystal.labels for crystal in known)
    examples = [_from_candidate(candidate, with_total=not file_totals) for candidate in computed]
    examples += [Example(crystal.structure, crystal.labels, f"file:{crystal.where}") for crystal in known]
    seen = KnownCrystals(example.structure for example in examples)
    examples += [Example(draft.structure, {}, "decorated") for draft in decorated if not seen.knows(draft.structure)]
    return TrainingSet(tuple(examples), tuple(candidate.id for candidate in computed))


def _from_candidate(candidate: Candidate, *, with_total: bool) -> Example:
    relaxation = candidate.relaxation
    if relaxation is None or candidate.e_f is None:
        raise ValueError(f"candidate {candidate.id} is not computed; filter with is_labelled first")
    labels = {E_F: candidate.e_f}
    if with_total:
        labels["energy_per_atom"] = relaxation.energy_per_atom_ev
    return Example(relaxation.conventional.to_structure(), labels, f"dft:{candidate.id}")
