"""Hash indexes: which documents carry a value, and whether a unique key is taken. Ordering is not their work."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import product

from mongomock.filtering import filter_applies

from crystalloop.db.embedded.errors import Code, CommandError
from crystalloop.db.embedded.values import SCALARS, Document, canonical, path_values

KNOWN_OPTIONS = {"key", "name", "unique", "sparse", "partialFilterExpression", "background", "v"}


class Index:
    """One index of a collection, over document numbers.

    Args:
        spec: as given to createIndexes: key, name, unique, sparse, partialFilterExpression.

    Raises:
        CommandError: an option or a kind of index that this server does not have (TTL, text, geo, collation ...).
    """

    def __init__(self, spec: Document) -> None:
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

    def check(self, number: int, document: Document) -> None:
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

    def add(self, number: int, document: Document) -> None:
        """Enter a document."""
        for value in self._leading_values(document):
            self._leading.setdefault(value, {})[number] = None
        for key in self._unique_keys(document):
            self._taken[key] = number

    def remove(self, number: int, document: Document) -> None:
        """Take a document out again."""
        for value in self._leading_values(document):
            holders = self._leading.get(value, {})
            holders.pop(number, None)
            if not holders:
                self._leading.pop(value, None)
        for key in self._unique_keys(document):
            if self._taken.get(key) == number:
                del self._taken[key]

    def _leading_values(self, document: Document) -> set[Hashable]:
        return {canonical(value) for value in path_values(document, self._paths[0]) if isinstance(value, SCALARS)}

    def _unique_keys(self, document: Document) -> set[tuple[Hashable, ...]]:
        if not self.unique:
            return set()
        found = [path_values(document, path) for path in self._paths]
        if self.spec.get("sparse") and not any(found):
            return set()
        condition = self.spec.get("partialFilterExpression")
        if condition is not None and not filter_applies(condition, document):
            return set()
        return set(product(*({canonical(value) for value in values} or {None} for values in found)))


def _checked(spec: Document) -> Document:
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
