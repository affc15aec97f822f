"""Documents that cannot be read, of another release or damaged: named, counted and left out; they end nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import Any, TypeVar

from pydantic import ValidationError

from crystalloop.db.ledger.access.redaction import without_secrets

logger = logging.getLogger(__name__)
T = TypeVar("T")
_NAMED = 3
"""So many are named in a sentence; the rest is counted."""


class Unreadable:
    """What one store has left out so far. Each document is said once, in the log, which goes to stderr."""

    def __init__(self) -> None:
        self._why: dict[tuple[str, str], str] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._why)

    def __contains__(self, where: tuple[str, str]) -> bool:
        """Whether (collection, id) was left out."""
        return where in self._why

    @property
    def reasons(self) -> Mapping[tuple[str, str], str]:
        """(collection, id) -> why."""
        return dict(self._why)

    def read(
        self, collection: str, documents: Iterable[Mapping[str, Any]], make: Callable[[Mapping[str, Any]], T]
    ) -> tuple[T, ...]:
        """The records of those documents that can be read."""
        made: list[T] = []
        bad: dict[str, str] = {}
        for document in documents:
            try:
                made.append(make(document))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                bad[str(document.get("_id"))] = reason_of(error)
                continue
            if self._why:
                self._why.pop((collection, str(document.get("_id"))), None)  # it was mended meanwhile
        self.note(collection, bad)
        return tuple(made)

    def note(self, collection: str, bad: Mapping[str, str]) -> None:
        """Remember documents, id -> why, and say those that are new."""
        with self._lock:
            new = {id_: why for id_, why in bad.items() if (collection, id_) not in self._why}
            self._why.update({(collection, id_): why for id_, why in new.items()})
        if new:
            logger.error("%s", sentence(collection, new))


def sentence(collection: str, bad: Mapping[str, str]) -> str:
    """What is said about documents of a collection that were left out, id -> why."""
    named = "; ".join(f"{id_!r:.100} ({why})" for id_, why in list(bad.items())[:_NAMED])
    more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    documents, are, they = ("document", "is", "it") if len(bad) == 1 else ("documents", "are", "them")
    return without_secrets(
        f"{len(bad)} {documents} of `{collection}` cannot be read and {are} left out: {named}{more}; "
        f"read {they} with the release that wrote {they}, or mend or remove {they}"
    )


def reason_of(error: Exception) -> str:
    """The first thing that is wrong, in a few words."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=True)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        value = "" if first["type"] == "missing" else f", not {first['input']!r:.40}"
        return f"{place}: {first['msg']}{value}"
    if isinstance(error, KeyError):
        return f"{error.args[0]}: missing" if error.args else "a field is missing"
    return f"{type(error).__name__}: {error}"[:120]
