"""The table of commands, and how one is carried out and answered. Each command lives in reads, writes or catalog."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version

import mongomock

from crystalloop.db.embedded.commands import catalog, reads, writes
from crystalloop.db.embedded.commands.patterns import refuse_code_and_slow_patterns
from crystalloop.db.embedded.commands.request import CommandRequest, Reply
from crystalloop.db.embedded.engine.engine import DocumentEngine
from crystalloop.db.embedded.engine.values import MAX_DOCUMENT_BYTES, BsonDocument, Code, CommandError

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 48_000_000
SPEAKS = "7.0.0"
"""The MongoDB version whose protocol is spoken; drivers choose their messages by it."""


def hello(_: CommandRequest) -> Reply:
    """What a driver asks first."""
    return {
        "helloOk": True,
        "ismaster": True,
        "isWritablePrimary": True,
        "maxBsonObjectSize": MAX_DOCUMENT_BYTES,
        "maxMessageSizeBytes": MAX_MESSAGE_BYTES,
        "maxWriteBatchSize": 100_000,
        "localTime": datetime.now(UTC),
        "minWireVersion": 0,
        "maxWireVersion": 21,
        "readOnly": False,
        "ok": 1.0,
    }


def build_info(_: CommandRequest) -> Reply:
    """What this server is."""
    return {
        "version": SPEAKS,
        "versionArray": [*map(int, SPEAKS.split(".")), 0],
        "embedded": True,
        "description": "embedded one-machine document server: MongoDB wire protocol over "
        f"mongomock {version('mongomock')} and SQLite; this is not MongoDB",
        "maxBsonObjectSize": MAX_DOCUMENT_BYTES,
        "ok": 1.0,
    }


def nothing(_: CommandRequest) -> Reply:
    """A command that has nothing to do here."""
    return {"ok": 1.0}


HANDLERS: dict[str, Callable[[CommandRequest], Reply]] = {
    "hello": hello,
    "ismaster": hello,
    "buildinfo": build_info,
    "ping": nothing,
    "endsessions": nothing,
    "compact": nothing,
    "shutdown": nothing,  # the service stops after the answer
    "find": reads.find,
    "getmore": reads.get_more,
    "killcursors": reads.kill_cursors,
    "count": reads.count,
    "distinct": reads.distinct,
    "aggregate": reads.aggregate,
    "insert": writes.insert,
    "update": writes.update,
    "delete": writes.delete,
    "findandmodify": writes.find_and_modify,
    "create": catalog.create,
    "drop": catalog.drop,
    "dropdatabase": catalog.drop_database,
    "renamecollection": catalog.rename_collection,
    "listcollections": catalog.list_collections,
    "listdatabases": catalog.list_databases,
    "createindexes": catalog.create_indexes,
    "listindexes": catalog.list_indexes,
    "dropindexes": catalog.drop_indexes,
}


def answer(engine: DocumentEngine, database: str, body: BsonDocument) -> Reply:
    """Carry out a command; whatever goes wrong becomes the reply."""
    request = CommandRequest(engine, database, body)
    try:
        return _carried_out(request)
    except CommandError as error:
        return error.as_reply()
    except NotImplementedError as error:
        return CommandError(Code.NotImplemented, str(error)).as_reply()
    except mongomock.OperationFailure as error:
        return CommandError(Code.BadValue, str(error)).as_reply()
    except KeyError as error:
        return CommandError(Code.FailedToParse, f"{request.name}: the field {error} is missing").as_reply()
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError, MemoryError) as error:
        log.warning("%s was refused: %s: %.200s", request.name, type(error).__name__, error)
        said = f"{request.name}: a field is not what this command takes ({type(error).__name__}: {str(error)[:200]})"
        return CommandError(Code.TypeMismatch, said).as_reply()
    except Exception as error:  # a defect in one command must reach its client and leave the others served
        log.exception("%s failed", request.name)
        return CommandError(Code.UnknownError, f"{request.name}: {type(error).__name__}: {error}").as_reply()


def _carried_out(request: CommandRequest) -> Reply:
    handler = HANDLERS.get(request.name.lower())
    if handler is None:
        raise CommandError(Code.CommandNotFound, f"no such command: '{request.name}'")
    if "txnNumber" in request.body and "autocommit" in request.body:
        raise CommandError(Code.NotImplemented, "this server has no transactions")
    if request.name != "insert":  # documents are kept, whatever their fields are named
        refuse_code_and_slow_patterns(request.body)
    with request.engine.command():
        return handler(request)
