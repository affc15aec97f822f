"""The connection to MongoDB: client, retries with back-off, bulk insertion. What is stored is no concern of this module."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, BulkWriteError

from crystalloop.db.ledger.store import StoreUnavailable

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


def connect(uri: str, select_ms: int = SERVER_SELECTION_MS) -> MongoClient[Document]:
    """A client with the time-outs that `Retry` counts on; it connects at the first command."""
    return MongoClient(uri, **{**CLIENT_OPTIONS, "serverSelectionTimeoutMS": select_ms, "connectTimeoutMS": select_ms})


class Retry:
    """Repeats a command while the server cannot be reached, then raises StoreUnavailable.

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
        """
        for delay_s in (*self._delays_s, None):
            try:
                return command(*args, **kwargs)
            except AutoReconnect as error:  # ServerSelectionTimeoutError and NotPrimaryError are AutoReconnects too
                if delay_s is None:
                    raise StoreUnavailable(
                        f"the database {self._server} cannot be reached ({len(self._delays_s) + 1} tries): "
                        f"{str(error).splitlines()[0][:200]}; start it again and repeat the command, nothing was lost"
                    ) from error
                self._sleep(delay_s)
        raise AssertionError("unreachable")


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
        failures = (error.details or {}).get("writeErrors", [])
        if any(failure.get("code") != DUPLICATE_KEY for failure in failures):
            raise
