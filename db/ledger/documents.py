"""DocumentStore: the Store contract over a few operations on documents. Which database does them is said in mongo and memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from crystalloop.db.ledger.campaigns import CampaignRecord, CampaignState, ModelVersion, Round, Span
from crystalloop.db.ledger.leases import Leases
from crystalloop.db.ledger.records import Candidate, CandidateState, ReferenceEnergy
from crystalloop.db.ledger.standing import STANDING_FIELDS, Standing
from crystalloop.db.ledger.store import CampaignMismatch
from crystalloop.db.ledger.unreadable import Unreadable


class DocumentStore(Leases):
    """See db.ledger.store.Store for the promises."""

    def __init__(self) -> None:
        self._unreadable = Unreadable()

    @property
    def unreadable(self) -> Unreadable:
        """See Store."""
        return self._unreadable

    @abstractmethod
    def _find(
        self, collection: str, condition: Mapping[str, Any], order: Sequence[str], fields: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """The documents that match a filter, ascending in `order`; where `fields` are given, at least those of each."""

    @abstractmethod
    def _insert(self, collection: str, document: dict[str, Any]) -> bool:
        """Insert a document; False where there is one of this `_id`, which stays."""

    @abstractmethod
    def _replace(self, collection: str, document: dict[str, Any]) -> bool:
        """Insert a document, or replace the one of its `_id`; whether there was one."""

    @abstractmethod
    def _add_to_set(self, collection: str, key: str, field: str, value: dict[str, Any]) -> bool:
        """Append to a list of the document unless it is in there; False where there is no such document."""

    # Campaigns

    def start_campaign(self, record: CampaignRecord) -> CampaignRecord:
        """See Store."""
        if self._insert("campaigns", record.to_document()):
            return record
        stored = self.campaign(record.id)
        if ("campaigns", record.id) in self.unreadable:
            raise CampaignMismatch(
                f"the record of the campaign {record.id!r} cannot be read "
                f"({self.unreadable.reasons['campaigns', record.id]}); run it with the release that wrote it, or give it "
                "another name"
            )
        if stored is None or stored.spec_digest != record.spec_digest:
            raise CampaignMismatch(
                f"the campaign {record.id!r} was started with another specification "
                f"(digest {stored.spec_digest[:12] if stored else 'unknown'}, now {record.spec_digest[:12]}); "
                "run it with the file it was started with, or give the changed one another name"
            )
        return stored

    def campaign(self, name: str) -> CampaignRecord | None:
        """See Store."""
        found = self._find("campaigns", {"_id": name}, ("_id",))
        return next(iter(self.unreadable.read("campaigns", found, CampaignRecord.from_document)), None)

    def campaigns(self) -> tuple[CampaignRecord, ...]:
        """See Store."""
        found = self._find("campaigns", {}, ("created_at", "_id"))
        return self.unreadable.read("campaigns", found, CampaignRecord.from_document)

    def set_campaign_state(self, name: str, state: CampaignState, now: datetime, outcome: str = "") -> None:
        """See Store."""
        fields = {"state": str(state), "outcome": outcome, "updated_at": now}
        if not self._set("campaigns", {"_id": name}, fields):
            raise LookupError(_never_started(name))

    def add_span(self, name: str, span: Span) -> None:
        """See Store."""
        if not self._add_to_set("campaigns", name, "spans", span.to_document()):
            raise LookupError(_never_started(name))

    # Candidates

    def candidate(self, candidate_id: str) -> Candidate | None:
        """See Store."""
        return next(iter(self.matching({"_id": candidate_id})), None)

    def candidates(
        self,
        campaign: str | None = None,
        *,
        round: int | None = None,
        states: Iterable[CandidateState] | None = None,
        formula: str | None = None,
    ) -> tuple[Candidate, ...]:
        """See Store."""
        wanted = {"campaign": campaign, "round": round, "formula": formula}
        condition: dict[str, Any] = {field: value for field, value in wanted.items() if value is not None}
        if states is not None:
            condition["state"] = {"$in": [str(state) for state in states]}
        return self.matching(condition)

    def matching(self, condition: Mapping[str, Any]) -> tuple[Candidate, ...]:
        """See Store."""
        found = self._find("candidates", condition, ("round", "_id"))
        return self.unreadable.read("candidates", found, Candidate.from_document)

    def standings(self, candidate_ids: Sequence[str]) -> tuple[Standing, ...]:
        """See Store."""
        documents = self._find("candidates", {"_id": {"$in": list(candidate_ids)}}, ("_id",), STANDING_FIELDS)
        return self._standings(candidate_ids, {document["_id"]: document for document in documents})

    def _standings(self, candidate_ids: Sequence[str], found: Mapping[str, Mapping[str, Any]]) -> tuple[Standing, ...]:
        """The standings of documents, without those that were found unreadable as a whole."""
        wanted = [found[id_] for id_ in candidate_ids if id_ in found and ("candidates", id_) not in self.unreadable]
        return self.unreadable.read("candidates", wanted, Standing.from_document)

    def relaxation_by_key(self, key: str) -> Candidate | None:
        """See Store."""
        found = self.matching({"key": key, "state": str(CandidateState.RELAXED)})
        return min(found, key=lambda candidate: candidate.updated_at, default=None)

    def with_key(self, key: str) -> tuple[Candidate, ...]:
        """See Store."""
        return self.matching({"key": key})

    # Model versions, rounds and imported energies

    def add_model_version(self, version: ModelVersion) -> ModelVersion:
        """See Store."""
        if self._insert("model_versions", version.to_document()):
            return version
        return self.model_version(version.id) or version

    def model_version(self, version_id: str) -> ModelVersion | None:
        """See Store."""
        found = self._find("model_versions", {"_id": version_id}, ("_id",))
        return next(iter(self.unreadable.read("model_versions", found, ModelVersion.from_document)), None)

    def model_versions(self, campaign: str) -> tuple[ModelVersion, ...]:
        """See Store."""
        found = self._find("model_versions", {"campaign": campaign}, ("number", "_id"))
        return self.unreadable.read("model_versions", found, ModelVersion.from_document)

    def put_round(self, round_: Round) -> None:
        """See Store."""
        self._replace("rounds", round_.to_document())

    def rounds(self, campaign: str) -> tuple[Round, ...]:
        """See Store."""
        found = self._find("rounds", {"campaign": campaign}, ("number", "_id"))
        return self.unreadable.read("rounds", found, Round.from_document)

    def import_energies(self, energies: Sequence[ReferenceEnergy]) -> tuple[int, int]:
        """See Store."""
        replaced = sum(self._replace("reference_energies", energy.to_document()) for energy in energies)
        return len(energies) - replaced, replaced

    def imported_energies(self) -> tuple[ReferenceEnergy, ...]:
        """See Store."""
        found = self._find("reference_energies", {}, ("_id",))
        return self.unreadable.read("reference_energies", found, ReferenceEnergy.from_document)


def _never_started(name: str) -> str:
    return f"no campaign {name!r} in this database; start_campaign comes first"
