"""The connection to MongoDB: client, retries with back-off, bulk insertion. What is stored is no concern of this module."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, BulkWriteError, ConfigurationError, OperationFailure, PyMongoError

from crystalloop.db.ledger.access.redaction import about_uri, fault_of_uri, keep_secret, shown_uri, without_secrets
from crystalloop.db.ledger.store import StoreRefused, StoreUnavailable

Document = dict[str, Any]
T = TypeVar("T")

DUPLICATE_KEY = 11000  # MongoDB's error code for a violated unique index
RETRY_DELAYS_S = (0.3, 1.0, 3.0, 6.0)  # with 2 s to select a server each time: about 20 s in all
SERVER_SELECTION_MS = 2000
CLIENT_OPTIONS: Mapping[str, Any] = {
    "serverSelectionTimeoutMS": SERVER_SELECTION_MS,
    "connectTimeoutMS": SERVER_SELECTION_MS,
    "socketTimeoutMS": 60_000,
    "appname": "crystalloop",
}
TRANSIENT = frozenset(
    {6, 7, 24, 43, 50, 64, 89, 91, 112, 189, 202, 262, 9001, 10107, 11600, 11601, 11602, 13388, 13435, 13436}
)
"""Codes of what passes by itself: time limits, interruptions, elections, lost cursors, unconfirmed writes
(https://www.mongodb.com/docs/manual/reference/error-codes/)."""
CLOSED = frozenset({13, 18, 8000, 8010})
"""Codes of a server that lets nobody in, or not there."""
FULL = frozenset({12501, 14031, 292})


class UnusableUri(StoreUnavailable):
    """A connection string that leads nowhere; the message has no piece of it that may be secret."""


def connect(uri: str, select_ms: int = SERVER_SELECTION_MS) -> MongoClient[Document]:
    """A client with the time-outs that `Retry` counts on; it connects at the first command.

    Raises:
        UnusableUri: it cannot be read as a connection string.
    """
    require_usable(uri)
    limits = {**CLIENT_OPTIONS, "serverSelectionTimeoutMS": select_ms, "connectTimeoutMS": select_ms}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # an option that would be left aside
        try:
            return MongoClient(uri, **limits)
        except OSError as error:  # a certificate
            reason = f"{error.filename}: {error.strerror}"
        except (ConfigurationError, ValueError, TypeError, UserWarning) as error:
            reason = about_uri(uri, str(error))
    raise UnusableUri(
        f"{shown_uri(uri)} is not a usable MongoDB connection string: {reason}; hosts, ports and options are such as "
        "https://www.mongodb.com/docs/manual/reference/connection-string/ describes"
    )


def require_usable(uri: str) -> None:
    """Keep the secrets of a connection string, and refuse one that is no such.

    Raises:
        UnusableUri: what is wrong with it.
    """
    keep_secret(uri)
    if fault := fault_of_uri(uri):
        raise UnusableUri(f"{shown_uri(uri)} is not a usable MongoDB connection string: {fault}")


class Retry:
    """Repeats a command while the server cannot be reached or is busy with itself, then raises StoreUnavailable.

    Args:
        server: how the error names the server; without a password.
        delays_s: pauses between the tries, seconds.
        sleep: replaced in tests.
    """

    def __init__(
        self, server: str, delays_s: Sequence[float] = RETRY_DELAYS_S, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._server, self._delays_s, self._sleep = server, tuple(delays_s), sleep

    def __call__(self, command: Callable[..., T], *args: Any, **kwargs: Any) -> T:  # noqa: ANN401  (the command's)
        """The command's result.

        Raises:
            StoreUnavailable: no try reached the server.
            StoreRefused: the server answers with an error.
        """
        for delay_s in (*self._delays_s, None):
            try:
                return command(*args, **kwargs)
            except (PyMongoError, BSONError, OverflowError) as error:
                passes = isinstance(error, AutoReconnect) or bool(_codes(error) & TRANSIENT)
                if delay_s is None or not passes:
                    raise self._given_up(error) from error
                self._sleep(delay_s)
        raise AssertionError("unreachable")

    def _given_up(self, error: Exception) -> StoreUnavailable:
        if isinstance(error, AutoReconnect):  # ServerSelectionTimeoutError and NotPrimaryError are AutoReconnects too
            return StoreUnavailable(
                f"the database {self._server} cannot be reached ({len(self._delays_s) + 1} tries): "
                f"{_first_line(error)}; start it again and repeat the command, nothing was lost"
            )
        return refused(self._server, error)


def refused(server: str, error: Exception) -> StoreRefused:
    """The sentence about an error that a server answered, or that kept a document from being sent."""
    codes = sorted(_codes(error))
    named = f"code {', '.join(map(str, codes))}" if codes else type(error).__name__
    return StoreRefused(
        f"the database {server} does not do what it is asked ({named}): {_first_line(error)}; "
        f"{_next_move(set(codes))} and repeat the command, nothing was lost"
    )


def _next_move(codes: set[int]) -> str:
    if codes & CLOSED:
        return "let the user of the connection string read and write this database and its <name>_fireworks"
    if codes & FULL:
        return "free space on the database's disk"
    return "mend the database, or let it come to itself,"


def _codes(error: Exception) -> set[int]:
    """MongoDB's codes of an error; of a bulk write, those of its parts."""
    if not isinstance(error, OperationFailure):
        return set()
    details = error.details or {}
    parts = [*(details.get("writeErrors") or ()), *(details.get("writeConcernErrors") or ())]
    found = {part.get("code") for part in parts if isinstance(part, Mapping)} if parts else {error.code}
    return {code for code in found if isinstance(code, int)}


def _first_line(error: Exception) -> str:
    if isinstance(error, BulkWriteError):
        details = error.details or {}
        parts = [*(details.get("writeErrors") or ()), *(details.get("writeConcernErrors") or ())]
        text = str(next((part.get("errmsg") for part in parts), error))
    else:
        text = str(error)
    return without_secrets((text.splitlines() or [type(error).__name__])[0].partition(", full error:")[0])[:200]


def server_name(client: MongoClient[Document], database: str) -> str:
    """`mongodb://host:port/database` as configured: never with user or password."""
    hosts = sorted(
        host if port is None else f"{host}:{port}" for host, port in client.topology_description.server_descriptions()
    )
    return f"mongodb://{','.join(hosts)}/{database}"


def insert_new(collection: Collection[Document], documents: Sequence[Document]) -> None:
    """Insert those documents that violate no unique index; the others are left as they are stored."""
    if not documents:
        return
    try:
        collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        details = error.details or {}
        failures = details.get("writeErrors") or []
        if details.get("writeConcernErrors") or any(failure.get("code") != DUPLICATE_KEY for failure in failures):
            raise
