"""A database for tests: the given MongoDB, else the embedded server; and small documents to put into it."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crystalloop.db.ledger.access.connection import connect
from crystalloop.db.ledger.campaigns import CampaignRecord, CampaignState
from crystalloop.db.ledger.mongo import MongoStore
from crystalloop.db.ledger.records import Candidate, CrystalDoc, Origin, OriginKind, Relaxation
from crystalloop.dft.recipe.settings import CODE_VERSION

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ROCKSALT = CrystalDoc(
    lattice=((0.0, 2.03, 2.03), (2.03, 0.0, 2.03), (2.03, 2.03, 0.0)),
    species=("Li", "F"),
    frac_coords=((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
)


@pytest.fixture(scope="session")
def mongodb_uri():
    """A server that runs as long as the tests; real MongoDB where CRYSTALLOOP_TEST_MONGODB_URI names one."""
    given = os.environ.get("CRYSTALLOOP_TEST_MONGODB_URI")
    if given:
        yield given
        return
    from crystalloop.db.serving.server import ensure_server

    folder = Path(tempfile.mkdtemp(prefix="cl-db-"))  # short: a Unix socket's path has at most 107 characters
    server = ensure_server(None, folder, idle_s=7200)  # longer than any test that does not use it
    yield server.uri
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database_name(mongodb_uri):
    """The name of an empty database, dropped afterwards together with its queue."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    client = connect(mongodb_uri)
    for database in (name, f"{name}_fireworks"):
        client.drop_database(database)
    client.close()


@pytest.fixture
def store(mongodb_uri, database_name):
    store = MongoStore.open(mongodb_uri, database_name)
    yield store
    store.close()


def new_candidate(number: int = 0, **changes) -> Candidate:
    """A PROPOSED rock-salt LiF whose id and key carry the number."""
    fields = {
        "id": f"first-{number:04d}",
        "campaign": "first",
        "round": 0,
        "key": f"key-{number:04d}",
        "formula": "LiF",
        "prototype": "rocksalt_B1",
        "crystal": ROCKSALT,
        "settings": {},
        "origin": Origin(kind=OriginKind.DECORATED),
        "predicted": {"e_f": -1.5, "bandgap": None},
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Candidate.model_validate({**fields, **changes})


def new_campaign(name: str = "first", digest: str = "a" * 64) -> CampaignRecord:
    return CampaignRecord(
        id=name,
        spec={"elements": ["Li", "F"]},
        spec_digest=digest,
        folder="runs/first",
        state=CampaignState.ACTIVE,
        created_at=NOON,
        updated_at=NOON,
    )


def new_relaxation(**changes) -> Relaxation:
    fields = {
        "crystal": ROCKSALT,
        "conventional": ROCKSALT,
        "energy_ev": -676.5,
        "energy_per_atom_ev": -338.25,
        "a_ang": 4.06,
        "spacegroup": 225,
        "volume_per_atom_ang3": 8.37,
        "pressure_kbar": 0.1,
        "fmax_ev_ang": 0.0,
        "steps": 4,
        "bond_change_percent": 0.2,
        "cell_change_percent": 0.2,
        "cpu_s": 7.9,
        "wall_s": 8.4,
        "pw_version": "6.7",
        "pseudos": {"Li": "0" * 32, "F": "1" * 32},
        "code_version": CODE_VERSION,
    }
    return Relaxation.model_validate({**fields, **changes})
