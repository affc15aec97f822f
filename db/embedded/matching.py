"""Does a document match a filter? Equality with scalars is decided here, exactly; everything else by mongomock.

Mongomock compares as Python does, where true equals 1; MongoDB tells them apart, and so do the indexes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from mongomock.filtering import filter_applies

from crystalloop.db.embedded.values import SCALARS, Document, canonical, path_values

Predicate = Callable[[Document], bool]


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

    def holds(self, document: Document) -> bool:
        """Whether it does."""
        return any(canonical(value) in self.values for value in path_values(document, self.path.split(".")))


def equalities(query: Document) -> Iterator[Equality]:
    """The equalities with scalars that every match of the filter fulfils."""
    for path, condition in query.items():
        if path == "$and" and isinstance(condition, list):
            parts = [part for part in condition if isinstance(part, dict)]
            yield from (Equality(one.path, one.values, False) for part in parts for one in equalities(part))
        elif not path.startswith("$"):
            values, whole = _scalars(condition)
            if values is not None and all(isinstance(value, SCALARS) for value in values):
                yield Equality(path, tuple(map(canonical, values)), whole)


def predicate(query: Document) -> Predicate | None:
    """A function that tells whether a document matches; None where every document does.

    Raises:
        mongomock.OperationFailure: when called, for a malformed filter.
    """
    exact = [one for one in equalities(query) if one.whole]
    paths = {one.path for one in exact}
    rest = {path: condition for path, condition in query.items() if path not in paths}
    if not exact:
        return (lambda document: bool(filter_applies(rest, document))) if rest else None
    if not rest:
        return lambda document: all(one.holds(document) for one in exact)
    return lambda document: all(one.holds(document) for one in exact) and bool(filter_applies(rest, document))


def _scalars(condition: Any) -> tuple[list[Any] | None, bool]:  # noqa: ANN401
    if isinstance(condition, SCALARS):
        return [condition], True
    if isinstance(condition, dict) and "$eq" in condition:
        return [condition["$eq"]], len(condition) == 1
    if isinstance(condition, dict) and isinstance(condition.get("$in"), list):
        return condition["$in"], len(condition) == 1
    return None, False
