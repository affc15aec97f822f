"""Hash indexes and the filters over them: which documents carry a value, and whether a unique key is taken."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from mongomock.filtering import filter_applies

from crystalloop.db.embedded.engine.values import SCALARS, BsonDocument, Code, CommandError, canonical, path_values

KNOWN_OPTIONS = {"key", "name", "unique", "sparse", "partialFilterExpression", "background", "v"}


class Index:
    """One index of a collection, over document numbers.

    Args:
        spec: as given to createIndexes: key, name, unique, sparse, partialFilterExpression.

    Raises:
        CommandError: an option or a kind of index that this server does not have (TTL, text, geo, collation ...).
    """

    def __init__(self, spec: BsonDocument) -> None:
        self.spec = _checked(spec)
        self.name: str = self.spec["name"]
        self.unique = bool(self.spec.get("unique"))
        self._paths = tuple(path.split(".") for path in self.spec["key"])
        self._leading: dict[Hashable, dict[int, None]] = {}
        self._taken: dict[tuple[Hashable, ...], int] = {}

    @property
    def leading_path(self) -> str | None:
        """The path whose values it can look up; None where it does not hold every document that has one."""
        path: str = next(iter(self.spec["key"]))
        partial = "partialFilterExpression" in self.spec or any(part.isdigit() for part in path.split("."))
        return None if partial else path

    def holders(self, values: Iterable[Hashable]) -> dict[int, None]:
        """Numbers of the documents whose leading path equals one of the scalar `values`, given in canonical form."""
        found: dict[int, None] = {}
        for value in values:
            found.update(self._leading.get(value, {}))
        return found

    def check(self, number: int, document: BsonDocument) -> None:
        """Refuse the document where another one holds its unique key.

        Raises:
            CommandError: with code 11000.
        """
        for key in self._unique_keys(document):
            if self._taken.get(key, number) != number:
                shown = {".".join(path): _shown(value) for path, value in zip(self._paths, key, strict=True)}
                raise CommandError(
                    Code.DuplicateKey,
                    f"E11000 duplicate key error index: {self.name} dup key: {shown}",
                    keyPattern=self.spec["key"],
                )

    def add(self, number: int, document: BsonDocument) -> None:
        """Enter a document."""
        for value in self._leading_values(document):
            self._leading.setdefault(value, {})[number] = None
        for key in self._unique_keys(document):
            self._taken[key] = number

    def remove(self, number: int, document: BsonDocument) -> None:
        """Take a document out again."""
        for value in self._leading_values(document):
            holders = self._leading.get(value, {})
            holders.pop(number, None)
            if not holders:
                self._leading.pop(value, None)
        for key in self._unique_keys(document):
            if self._taken.get(key) == number:
                del self._taken[key]

    def _leading_values(self, document: BsonDocument) -> set[Hashable]:
        return {canonical(value) for value in path_values(document, self._paths[0]) if isinstance(value, SCALARS)}

    def _unique_keys(self, document: BsonDocument) -> set[tuple[Hashable, ...]]:
        if not self.unique:
            return set()
        found = [path_values(document, path) for path in self._paths]
        if self.spec.get("sparse") and not any(found):
            return set()
        condition = self.spec.get("partialFilterExpression")
        if condition is not None and not filter_applies(condition, document):
            return set()
        return set(product(*({canonical(value) for value in values} or {None} for values in found)))


def _checked(spec: BsonDocument) -> BsonDocument:
    unknown = set(spec) - KNOWN_OPTIONS
    if unknown:
        raise CommandError(Code.CannotCreateIndex, f"this server has no index option {', '.join(sorted(unknown))}")
    if not spec.get("key") or not spec.get("name"):
        raise CommandError(Code.FailedToParse, "an index needs a key and a name")
    for path, direction in spec["key"].items():
        if direction not in (1, -1):
            raise CommandError(Code.CannotCreateIndex, f"this server has no index of kind {direction!r} ({path})")
    kept = {option: spec[option] for option in ("unique", "sparse", "partialFilterExpression") if spec.get(option)}
    return {"v": 2, "key": dict(spec["key"]), "name": spec["name"], **kept}


def _shown(value: Hashable) -> Hashable:
    return value[1] if isinstance(value, tuple) and len(value) > 1 else value


Predicate = Callable[[BsonDocument], bool]


@dataclass(frozen=True)
class Equality:
    """A condition that a hash can answer: the path holds one of these scalars.

    Args:
        path: dotted.
        values: in canonical form.
        whole: whether this is all that a filter says, at its top level, about the path.
    """

    path: str
    values: tuple[Hashable, ...]
    whole: bool

    def holds(self, document: BsonDocument) -> bool:
        """Whether it does."""
        return any(canonical(value) in self.values for value in path_values(document, self.path.split(".")))


def equalities(query: BsonDocument) -> Iterator[Equality]:
    """The equalities with scalars that every match of the filter fulfils."""
    for path, condition in query.items():
        if path == "$and" and isinstance(condition, list):
            parts = [part for part in condition if isinstance(part, dict)]
            yield from (Equality(one.path, one.values, False) for part in parts for one in equalities(part))
        elif not path.startswith("$"):
            values, whole = _scalars(condition)
            if values is not None and all(isinstance(value, SCALARS) for value in values):
                yield Equality(path, tuple(map(canonical, values)), whole)


def predicate(query: BsonDocument) -> Predicate | None:
    """A function that tells whether a document matches; None where every document does.

    Raises:
        mongomock.OperationFailure: when called, for a malformed filter.
    """
    exact = [one for one in equalities(query) if one.whole]
    paths = {one.path for one in exact}
    rest = through_nulls({path: condition for path, condition in query.items() if path not in paths})
    if not exact:
        return (lambda document: bool(filter_applies(rest, document))) if rest else None
    if not rest:
        return lambda document: all(one.holds(document) for one in exact)
    return lambda document: all(one.holds(document) for one in exact) and bool(filter_applies(rest, document))


def through_nulls(query: BsonDocument) -> BsonDocument:
    """The filter with what mongomock overlooks: below a field that is null, every field is missing, so null as well."""
    parts: list[BsonDocument] = []
    for path, condition in query.items():
        if path in ("$and", "$or", "$nor") and isinstance(condition, list):
            inner = [through_nulls(part) if isinstance(part, dict) else part for part in condition]
            parts.append({path: inner})
        elif "." in path and _asks_for_null(condition, "$ne", "$nin"):
            ((operator, value),) = condition.items()
            parts.append({"$nor": [through_nulls({path: {_OPPOSITE[operator]: value}})]})
        elif "." in path and (condition is None or _asks_for_null(condition, "$eq", "$in")):
            names = path.split(".")
            above = [{".".join(names[:length]): None} for length in range(1, len(names))]
            parts.append({"$or": [{path: condition}, *above]})
        else:
            parts.append({path: condition})
    return parts[0] if len(parts) == 1 else {"$and": parts} if parts else {}


_OPPOSITE = {"$ne": "$eq", "$nin": "$in"}


def _asks_for_null(condition: Any, one: str, many: str) -> bool:  # noqa: ANN401
    """Whether a condition is an operator on null alone, or on a list with null in it."""
    if not isinstance(condition, dict) or len(condition) != 1:
        return False
    ((operator, value),) = condition.items()
    return (operator == one and value is None) or (operator == many and isinstance(value, list) and None in value)


def _scalars(condition: Any) -> tuple[list[Any] | None, bool]:  # noqa: ANN401
    if isinstance(condition, SCALARS):
        return [condition], True
    if isinstance(condition, dict) and "$eq" in condition:
        return [condition["$eq"]], len(condition) == 1
    if isinstance(condition, dict) and isinstance(condition.get("$in"), list):
        return condition["$in"], len(condition) == 1
    return None, False
