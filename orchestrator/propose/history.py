"""What came of the candidates before: found values, failures, and what had been forecast. Records in, crystals out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from crystalloop.db.ledger.forecast import Forecast
from crystalloop.db.ledger.leases import AFRESH, TAKEN_BACK
from crystalloop.db.ledger.records import Candidate, CandidateState
from crystalloop.models.crystals.crystal import Crystal
from crystalloop.models.crystals.elements import atomic_number
from crystalloop.models.crystals.properties import E_F, PROPERTIES

OVER = (CandidateState.RELAXED, CandidateState.GAVE_UP)


@dataclass(frozen=True, eq=False)
class Past:
    """One candidate whose calculation has ended.

    Attributes:
        id: of the candidate.
        crystal: as it was proposed: what can be known of the next one before DFT.
        prototype: its name, where it is known.
        round: that it belongs to.
        arm: that asked for it.
        values: property -> value, of what pw.x computed.
        forecast: what was expected of it; None where nobody said.
        cost_s: processor seconds, failed attempts included.
    """

    id: str
    crystal: Crystal
    prototype: str | None
    round: int
    arm: str
    values: Mapping[str, float]
    forecast: Forecast | None
    cost_s: float

    @property
    def failed(self) -> bool:
        """Whether it ended without a formation energy."""
        return E_F not in self.values


History = tuple[Past, ...]


class Historian:
    """Makes histories, each candidate once: of a long campaign most have ended long ago."""

    def __init__(self) -> None:
        self._ended: dict[str, tuple[object, Past]] = {}

    def history(self, candidates: Iterable[Candidate]) -> History:
        """The ended ones among the candidates, by round and id."""
        ended = sorted((c for c in candidates if c.state in OVER), key=lambda c: (c.round, c.id))
        return tuple(self._past(candidate) for candidate in ended)

    def _past(self, candidate: Candidate) -> Past:
        seen = (candidate.state, candidate.e_f, candidate.updated_at)
        known = self._ended.get(candidate.id)
        if known is None or known[0] != seen:
            known = self._ended[candidate.id] = (seen, past_of(candidate))
        return known[1]


def past_of(candidate: Candidate) -> Past:
    """One ended candidate."""
    computed = {name: _computed(candidate, name) for name in PROPERTIES}
    return Past(
        id=candidate.id,
        crystal=crystal_of(candidate),
        prototype=candidate.prototype,
        round=candidate.round,
        arm=candidate.arm,
        values={name: value for name, value in computed.items() if value is not None},
        forecast=candidate.forecast,
        cost_s=sum(one.cpu_s for one in candidate.attempts if one.outcome not in {TAKEN_BACK, AFRESH}),
    )


def crystal_of(candidate: Candidate) -> Crystal:
    """The crystal of a candidate, as it was proposed."""
    document = candidate.crystal
    numbers = np.array([atomic_number(symbol) for symbol in document.species])
    return Crystal(np.array(document.lattice), numbers, np.array(document.frac_coords))


def _computed(candidate: Candidate, name: str) -> float | None:
    """A property as pw.x found it, in the networks' unit; None where it did not."""
    relaxation = candidate.relaxation
    if candidate.state is not CandidateState.RELAXED or relaxation is None:
        return None
    return {E_F: candidate.e_f, "energy_per_atom": relaxation.energy_per_atom_ev, "band_gap": relaxation.band_gap}.get(
        name
    )
