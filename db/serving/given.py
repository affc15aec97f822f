"""A database that somebody named by its URI: it answers and is fit for use, or a sentence without secrets says why not."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from pymongo.errors import OperationFailure, PyMongoError

from crystalloop.db.ledger.access.connection import UnusableUri, connect, require_usable
from crystalloop.db.ledger.access.redaction import shown_uri, without_secrets
from crystalloop.db.serving.probe import probe

URI_DELAYS_S = (0.5, 1.0, 2.0)  # with 2 s to select a server each time: about 10 s in all


class DatabaseUnavailable(Exception):
    """No database could be reached or started."""

    exit_kind = "database"


def answering(uri: str, folder: Path) -> tuple[str, str]:
    """How a given database may be shown, and its version, once it answers and has shown to be fit for use.

    Args:
        uri: its connection string.
        folder: where is noted which server was tried.

    Raises:
        DatabaseUnavailable: it is no connection string, nothing answers there, or nobody is let in.
        UnfitDatabase: it answers, but not as MongoDB would.
    """
    try:
        require_usable(uri)
    except UnusableUri as error:
        raise DatabaseUnavailable(str(error)) from None
    shown = shown_uri(uri)
    version = _wait_for(uri, shown)
    mark = folder / "probed.json"
    identity = {"server": hashlib.sha256(shown.encode()).hexdigest(), "version": version}
    if _read(mark) != identity:
        probe(uri)
        mark.write_text(json.dumps(identity))
    return shown, version


def _read(mark: Path) -> object:
    try:
        return json.loads(mark.read_text() or "null")
    except (OSError, ValueError):
        return None


def _wait_for(uri: str, shown: str) -> str:
    """The version of the server at `uri`, once it answers."""
    reason = ""
    for delay_s in (*URI_DELAYS_S, None):
        try:
            return str(hello(uri)["version"])
        except UnusableUri as error:
            raise DatabaseUnavailable(str(error)) from None
        except OperationFailure as error:
            raise DatabaseUnavailable(
                f"the database at {shown} answers, but lets us not in (code {error.code}: {_said(error)}); correct user, "
                "password or authSource in its connection string"
            ) from None
        except PyMongoError as error:
            reason = _said(error)
        if delay_s is not None:
            time.sleep(delay_s)
    raise DatabaseUnavailable(
        f"no database answers at {shown} ({reason}); start it, correct the URI, or leave the URI out to use a local one"
    )


def _said(error: PyMongoError) -> str:
    """A driver's first words, without secrets."""
    said = (str(error).splitlines() or [type(error).__name__])[0]
    for tail in (" (configured timeouts", ", Timeout", ", full error:"):
        said = said.partition(tail)[0]
    return without_secrets(said)[:200]


def hello(uri: str) -> dict[str, Any]:
    """What the server at a URI says about itself."""
    with connect(uri) as client:
        info: dict[str, Any] = client.server_info()
        return info
