"""A campaign's place: its database, its lock, the request to stop. Light, for the commands that only look."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from crystalloop.db.ledger.campaigns import CampaignState
from crystalloop.db.ledger.mongo import MongoStore
from crystalloop.db.ledger.store import Store, StoreUnavailable
from crystalloop.db.serving.server import Server, ensure_server
from crystalloop.orchestrator.campaign.places import home
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.loop.contracts import now

log = logging.getLogger(__name__)


class CampaignError(Exception):
    """The campaign cannot be run as asked: it runs already, or there is none."""

    exit_kind = "usage"


def database(campaign: Campaign | None) -> tuple[Server, str]:
    """The server that this campaign, or a command without one, uses; started where it is ours and not running."""
    uri = campaign.database.uri if campaign else os.environ.get("CRYSTALLOOP_MONGODB_URI")
    return ensure_server(uri, home() / "db"), campaign.database.name if campaign else "crystalloop"


@contextmanager
def open_store(campaign: Campaign | None) -> Iterator[MongoStore]:
    """The store, for the commands that only look."""
    server, name = database(campaign)
    store = MongoStore.open(server.uri, name)
    try:
        yield store
    finally:
        store.close()


def request_stop(store: Store, campaign: Campaign) -> str:
    """Ask the campaign to end at its next step; the sentence to print.

    Raises:
        CampaignError: there is no such campaign.
    """
    record = store.campaign(campaign.name)
    if record is None:
        raise CampaignError(f"no campaign {campaign.name!r} in this database; start it with `crystalloop run`")
    if not _is_running(campaign.run_folder):
        return f"{campaign.name} is not running"
    store.set_campaign_state(campaign.name, CampaignState.STOPPING, now())
    return f"{campaign.name} ends at its next step; `crystalloop run` goes on with it"


@contextmanager
def outcome_of_errors(store: Store, campaign: Campaign) -> Iterator[None]:
    """Write down what ends a run, so that `status` and the report say what `run` said."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, StoreUnavailable):
            raise  # nothing can be written down
        outcome = str(error) if hasattr(error, "exit_kind") else f"ended by {type(error).__name__}"
        if isinstance(error, KeyboardInterrupt):
            outcome = "interrupted; finished work is kept, the same command goes on"
        try:
            store.set_campaign_state(campaign.name, CampaignState.ACTIVE, now(), outcome)
        except StoreUnavailable:
            log.warning("what ended the run could not be noted: the database is away")
        raise


@contextmanager
def only_runner(folder: Path) -> Iterator[None]:
    """Hold the campaign's lock; the kernel lets go of it however this process ends.

    Raises:
        CampaignError: another process runs this campaign.
    """
    with (folder / ".lock").open("a+") as file:
        if not _locked(file):
            file.seek(0)
            raise CampaignError(
                f"this campaign runs already (process {file.read().strip() or 'unknown'}); "
                "watch it with `crystalloop status --watch`, or end it with `crystalloop stop`"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_running(folder: Path) -> bool:
    if not (folder / ".lock").exists():
        return False
    with (folder / ".lock").open("a+") as file:
        return not _locked(file)
