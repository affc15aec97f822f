"""A study as the command and the bench ask for it: a policy's ranker, acquirer and hull, made of the product's own. Runs: study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crystalloop.db.ledger.records import Candidate
from crystalloop.dft.energies.reference_hull import ReferenceHull
from crystalloop.models.crystals.formulas import reduced_counts, written
from crystalloop.models.data.files import KnownCrystal
from crystalloop.models.data.labels import COLUMNS
from crystalloop.models.draw.proposal import Proposal
from crystalloop.models.surrogate.base import Surrogate
from crystalloop.models.surrogate.gaussian_process import GaussianProcess
from crystalloop.models.surrogate.stack import Stack
from crystalloop.models.surrogate.trees import Trees
from crystalloop.orchestrator.acquire.by_name import acquirer_of
from crystalloop.orchestrator.acquire.by_name import policy_of as bare_policy
from crystalloop.orchestrator.campaign.choice.laboratory import LaboratorySection
from crystalloop.orchestrator.campaign.choice.sections import SurrogateSection
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.propose.history import Historian
from crystalloop.orchestrator.propose.ranking import HullEnergy, LabelledCrystal, Ranker, labelled_crystal
from crystalloop.orchestrator.settle.formation_set import read_formation_set
from crystalloop.orchestrator.simulate.policies import MakeAcquirer, Policy
from crystalloop.orchestrator.simulate.pool import RowRanker
from crystalloop.orchestrator.simulate.surrogate_ranker import SurrogateRanker, columns_of
from crystalloop.orchestrator.simulate.truth.laboratory import Laboratory, LaboratoryError


class LedgerRanker:
    """The ranking of a campaign, on the rows that are left; see pool.RowRanker.

    Args:
        ranker: of the policy's campaign.
    """

    def __init__(self, ranker: Ranker) -> None:
        self._ranker, self._historian = ranker, Historian()

    def rank(self, rows: Sequence[Proposal], earlier: Sequence[Candidate], round_: int) -> Sequence[Proposal]:
        """The rows with what is expected of them."""
        return self._ranker.rank(rows, self._historian.history(earlier))


@dataclass(frozen=True)
class Rankers:
    """Makes a policy's ranker; see trial.MakeRanker.

    Attributes:
        files: labelled crystals that are known beforehand, of the campaign's data files.
        hull: formula -> energy of the hull, for compositions that no row of the table has; None without a reference.
    """

    files: tuple[LabelledCrystal, ...] = ()
    hull: Callable[[str], float | None] | None = None

    def __call__(self, policy: Policy, laboratory: Laboratory) -> RowRanker:
        """The campaign's own ranking; of a table without crystals its surrogate on the columns.

        Raises:
            LaboratoryError: the campaign's surrogate is its networks, and none take part.
        """
        campaign, section = policy.campaign, policy.campaign.surrogate
        if section.model == "networks":
            raise LaboratoryError(
                f"policy {policy.name!r}: surrogate.model is networks, and none take part where the rows are the pool; take stack, "
                "trees or gaussian_process"
            )
        if laboratory.feature_names:
            return SurrogateRanker(laboratory, columns_of(laboratory), column_surrogate(section), campaign.seed)
        wanted = campaign.model_copy(update={"target": laboratory.target})
        hull = self._hull_of(laboratory)
        return LedgerRanker(Ranker(wanted, self.files, lambda: hull))

    def _hull_of(self, laboratory: Laboratory) -> HullEnergy:
        """The hull at the compositions of the rows and of what is known beforehand."""
        known = {reduced_counts(row.crystal): row.hull_ev for row in laboratory.rows if row.hull_ev is not None}
        if self.hull is not None:
            for one in self.files:
                if (formula := reduced_counts(one.crystal)) not in known:
                    known[formula] = self.hull(written(formula)) or 0.0
        return known.get


def acquirers_for(section: LaboratorySection) -> MakeAcquirer:
    """What makes a campaign's acquirer; without crystals the bare policy: guards and diversity look at crystals."""
    return bare_policy if section.features else acquirer_of


def known_before(
    known: Sequence[KnownCrystal], laboratory: Laboratory, section: LaboratorySection
) -> tuple[tuple[LabelledCrystal, ...], str]:
    """Labelled crystals of data files that a policy may know from the start, and a sentence on those that it may not.

    None of a formula that the table has: the truth would leak. None at all where a column stands in for the property: labels
    of two quantities are not learnt as one.

    Args:
        known: of the campaign's data files.
        laboratory: whose formulas are left out.
        section: says which column is the value.
    """
    labelled = [one for one in known if one.labels]
    if not labelled:
        return (), ""
    own = {row.property: name for name, row in COLUMNS.items()}.get(laboratory.target.property)
    if laboratory.feature_names or (section.value not in (None, own) and not section.above_hull):
        return (
            (),
            f"{len(labelled):,} labels of data files are not used: {section.value or 'the table'} is another quantity",
        )
    formulas = {row.formula for row in laboratory.rows}
    kept = [one for one in labelled if one.structure.composition.reduced_formula not in formulas]
    left = len(labelled) - len(kept)
    said = f"{len(kept):,} labelled crystals of data files are known from the start"
    leak = f"; {left:,} are left out, since the table has their formulas" if left else ""
    return tuple(map(labelled_crystal, kept)), said + leak


def column_surrogate(section: SurrogateSection) -> Surrogate:
    """The surrogate of a campaign where a row is a few columns of numbers, all of one kind."""
    trees, process = Trees(section.trees, 1.0), GaussianProcess()
    if section.model == "stack":
        return Stack({"trees": trees, "gaussian process": process})
    return trees if section.model == "trees" else process


def laboratory_hull(campaign: Campaign) -> Callable[[str], float | None] | None:
    """The hull that distances in a laboratory are measured from; None where the campaign names no reference.

    Its energies are taken as the files have them: the table's have to be of the same scheme.

    Raises:
        DataError: a file that cannot be used.
    """
    if not campaign.hull.reference:
        return None
    found = read_formation_set(campaign.hull)
    hull = ReferenceHull(found.entries, f"in {found.name}")
    return lambda formula: hull.at(formula, even_sparse=True).energy_ev_per_atom
