"""Ask: what a chooser is asked in a round. Nothing is chosen here."""

from __future__ import annotations

from dataclasses import dataclass

from crystalloop.db.ledger.records import ModelVersion
from crystalloop.models.crystals.known import KnownCrystals
from crystalloop.models.data.corpus import Corpus
from crystalloop.orchestrator.propose.history import History


@dataclass(frozen=True)
class Ask:
    """What a chooser is asked.

    Attributes:
        round: its number, 1 for the first.
        version: the networks that draw; None where none are trained yet.
        training: what the networks learn from, as it is now.
        known: crystals that are not to be proposed.
        history: what came of the candidates before.
        count: how many are wanted.
    """

    round: int
    version: ModelVersion | None
    training: Corpus
    known: KnownCrystals
    history: History
    count: int
