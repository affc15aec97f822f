"""One command as the server received it, with its fields checked against what the server can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crystalloop.db.embedded.engine.collection import Collection
from crystalloop.db.embedded.engine.engine import DocumentEngine, check_name
from crystalloop.db.embedded.engine.values import BsonDocument, Code, CommandError

# These change nothing here: there is one server, and every write is durable.
WITHOUT_EFFECT = {
    "lsid", "$db", "$clusterTime", "$readPreference", "readConcern", "writeConcern", "maxTimeMS", "comment", "ordered",
    "bypassDocumentValidation", "allowDiskUse", "hint", "noCursorTimeout", "apiVersion", "apiStrict",
    "apiDeprecationErrors", "authorizedCollections", "nameOnly", "batchSize", "singleBatch", "commitQuorum",
}  # fmt: skip


@dataclass(frozen=True)
class CommandRequest:
    """A command for one database; its first field names it."""

    engine: DocumentEngine
    database: str
    body: BsonDocument

    @property
    def name(self) -> str:
        """The command's name."""
        return next(iter(self.body))

    @property
    def target(self) -> str:
        """The collection that the command names.

        Raises:
            CommandError: the name is missing or malformed.
        """
        target = self.body[self.name]
        if not isinstance(target, str):
            raise CommandError(Code.InvalidNamespace, f"{self.name} needs the name of a collection, not {target!r}")
        check_name(self.database, target)
        return target

    @property
    def namespace(self) -> str:
        """`database.collection` of the target."""
        return f"{self.database}.{self.target}"

    def found(self) -> Collection | None:
        """The target collection, if it exists."""
        return self.engine.find(self.database, self.target)

    def only(self, *fields: str) -> None:
        """Refuse a command with a field that would be silently disregarded."""
        refuse_others(self.name, self.body, {self.name, *fields} | WITHOUT_EFFECT)

    def document(self, field: str) -> BsonDocument:
        """An object among the fields; empty where absent.

        Raises:
            CommandError: it is something else.
        """
        value = self.body.get(field)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise CommandError(Code.TypeMismatch, f"{self.name}: {field} is an object, not {value!r}")
        return value

    def documents(self, field: str) -> list[BsonDocument]:
        """A list of objects among the fields.

        Raises:
            CommandError: it is something else.
        """
        values = self.body.get(field)
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise CommandError(Code.TypeMismatch, f"{self.name}: {field} is a list of objects")
        return values


def refuse_others(where: str, body: BsonDocument, known: set[str]) -> None:
    """Refuse fields outside `known`, unless they are empty.

    Raises:
        CommandError: NotImplemented, naming them.
    """
    others = sorted(field for field, value in body.items() if field not in known and value not in (None, False, {}, []))
    if others:
        raise CommandError(Code.NotImplemented, f"this server does not know {', '.join(others)} of {where}")


Reply = dict[str, Any]
