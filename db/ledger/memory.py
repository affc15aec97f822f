"""MemoryStore: the documents of the Store contract in dictionaries, for campaigns that need not outlive their process."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from threading import RLock
from typing import Any

from crystalloop.db.ledger.documents import DocumentStore
from crystalloop.db.ledger.records import Candidate, CandidateState
from crystalloop.db.ledger.standing import Standing


class MemoryStore(DocumentStore):
    """See db.ledger.store.Store for the promises; "durable" is as long as the process lives. Threads may share one."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = RLock()
        self._documents: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(
            dict
        )  # collection -> _id -> document

    def close(self) -> None:
        """See Store."""

    def add_candidates(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """See Store."""
        with self._lock:
            taken = {(stored["campaign"], stored["key"]) for stored in self._documents["candidates"].values()}
            added = []
            for candidate in candidates:
                one = (candidate.campaign, candidate.key)
                if one not in taken and self._insert("candidates", candidate.to_document()):
                    taken.add(one)
                    added.append(candidate.id)
        return tuple(added)

    def standings(self, candidate_ids: Sequence[str]) -> tuple[Standing, ...]:
        """See Store."""
        with self._lock:
            return self._standings(candidate_ids, self._documents["candidates"])

    def queue(self, candidate_ids: Sequence[str], now: datetime) -> tuple[str, ...]:
        """See Store."""
        old, new = {"state": str(CandidateState.PROPOSED)}, {"state": str(CandidateState.QUEUED)}
        return tuple(name for name in candidate_ids if self._move(name, old, new, now) is not None)

    def _move(
        self,
        candidate_id: str,
        old: Mapping[str, Any],
        fields: Mapping[str, Any],
        now: datetime,
        push: Mapping[str, Any] | None = None,
    ) -> Candidate | None:
        with self._lock:
            if not self._set("candidates", {"_id": candidate_id, **old}, {**fields, "updated_at": now}):
                return None
            document = self._documents["candidates"][candidate_id]
            for field, item in (push or {}).items():
                document[field].append(_kept(item))
            return Candidate.from_document(_copied(document))

    def _find(
        self, collection: str, condition: Mapping[str, Any], order: Sequence[str], fields: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        with self._lock:
            found = [_copied(one) for one in self._among(collection, condition) if matches(one, condition)]
        return sorted(found, key=itemgetter(*order))

    def _among(self, collection: str, condition: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
        """The documents that a filter can match: the one of its `_id`, where it names one."""
        stored, wanted = self._documents[collection], condition.get("_id")
        if not isinstance(wanted, str):
            return stored.values()
        return (stored[wanted],) if wanted in stored else ()

    def _insert(self, collection: str, document: dict[str, Any]) -> bool:
        with self._lock:
            stored = self._documents[collection]
            new = document["_id"] not in stored
            return new and not self._replace(collection, document)

    def _replace(self, collection: str, document: dict[str, Any]) -> bool:
        with self._lock:
            stored = self._documents[collection]
            known = document["_id"] in stored
            stored[document["_id"]] = _kept(document)
            return known

    def _set(self, collection: str, condition: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
        with self._lock:
            found = self._documents[collection].get(condition["_id"])
            if found is None or not matches(found, condition):
                return False
            for path, value in fields.items():
                *folders, name = path.split(".")
                place = found
                for folder in folders:
                    place = place[folder]
                place[name] = _kept(value)
            return True

    def _add_to_set(self, collection: str, key: str, field: str, value: dict[str, Any]) -> bool:
        with self._lock:
            found, item = self._documents[collection].get(key), _kept(value)
            if found is not None and item not in found[field]:
                found[field].append(item)
            return found is not None


def _copied(value: Any) -> Any:  # noqa: ANN401
    """A copy of what `_kept` made: all that can change in it are tables and lists."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


def _kept(value: Any) -> Any:  # noqa: ANN401
    """A copy as MongoDB keeps it: moments in UTC, to the millisecond."""
    if isinstance(value, dict):
        return {key: _kept(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_kept(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(microsecond=value.microsecond // 1000 * 1000)
    return value


_Test = Callable[[Any, Any], bool]


def matches(document: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    """Whether a document matches, as MongoDB would say.

    Fields are named with dots; a missing one is null; of a list, any item may match.

    Raises:
        ValueError: an operator that is not known here.
    """
    return all(_holds(document, name, wanted) for name, wanted in condition.items())


def _holds(document: Mapping[str, Any], name: str, wanted: Any) -> bool:  # noqa: ANN401  (of a filter)
    if name in _JOINTS:
        return _JOINTS[name](matches(document, part) for part in wanted)
    values = tuple(_values(document, name.split(".")))
    tests = wanted if isinstance(wanted, Mapping) else {"$eq": wanted}
    return all(_passes(values, test, operand) for test, operand in tests.items())


def _passes(values: Sequence[Any], name: str, operand: Any) -> bool:  # noqa: ANN401
    if name in _NEGATED:
        return not _passes(values, _NEGATED[name], operand)
    if name not in _TESTS:
        raise ValueError(f"operator {name!r} of a filter is unknown here; known are {', '.join([*_TESTS, *_NEGATED])}")
    return any(_TESTS[name](value, operand) for value in values)


def _values(value: Any, path: Sequence[str]) -> Iterator[Any]:  # noqa: ANN401
    """What stands at a path: null where nothing does, a list itself and each of its items."""
    if not path:
        yield value
        yield from value if isinstance(value, list) else ()
    elif isinstance(value, list):
        for item in value:
            yield from _values(item, path) if isinstance(item, Mapping) else ()
    else:
        yield from _values(value.get(path[0]) if isinstance(value, Mapping) else None, path[1:])


def _kind(value: Any) -> type:  # noqa: ANN401
    """Values of two kinds are neither equal nor in order: a number is no text, and true is not 1."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float
    return datetime if isinstance(value, datetime) else type(value)


def _equal(value: Any, operand: Any) -> bool:  # noqa: ANN401
    return bool(_kind(value) == _kind(operand) and value == operand)


def _ordered(test: _Test) -> _Test:
    return lambda value, operand: value is not None and _kind(value) == _kind(operand) and test(value, operand)


_TESTS: Mapping[str, _Test] = {
    "$eq": _equal,
    "$in": lambda value, operands: any(_equal(value, operand) for operand in operands),
    "$lt": _ordered(operator.lt),
    "$lte": _ordered(operator.le),
    "$gt": _ordered(operator.gt),
    "$gte": _ordered(operator.ge),
}
_NEGATED = {"$ne": "$eq", "$nin": "$in"}
_JOINTS: Mapping[str, Callable[[Iterator[bool]], bool]] = {
    "$and": all,
    "$or": any,
    "$nor": lambda parts: not any(parts),
}
