"""Finding and starting a database: the order of choice, one server for a folder, and what is said when there is none."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pymongo.errors import OperationFailure

from crystalloop.db.embedded.folder import read_state
from crystalloop.db.serving import probe as probing
from crystalloop.db.serving.probe import UnfitDatabase, probe
from crystalloop.db.serving.server import DatabaseUnavailable, Server, ensure_server

pytestmark = pytest.mark.slow


@pytest.fixture
def place():
    """A folder with a path short enough for a socket; its server is stopped afterwards."""
    with tempfile.TemporaryDirectory(prefix="cl-") as name:
        folder = Path(name)
        yield folder
        for data in (folder / "embedded", folder / "mongod"):
            state = read_state(data)
            if state is not None:
                Server(state.uri, "embedded", "", state.pid).stop()


@pytest.fixture
def no_mongod(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


FAKE_MONGOD = f"""#!{sys.executable}
import subprocess, sys
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
assert sys.argv[1] == "--fork", sys.argv
folder = options["--dbpath"]
status = subprocess.call([sys.executable, "-P", "-m", "crystalloop.db.embedded", "--folder", folder,
                          "--socket", options["--bind_ip"], "--detach"])
from pathlib import Path
from crystalloop.db.embedded.folder import read_state
Path(options["--pidfilepath"]).write_text(str(read_state(Path(folder)).pid))
sys.exit(status)
"""


@pytest.fixture
def fake_mongod(monkeypatch, tmp_path):
    """A program of that name which understands mongod's options; not mongod."""
    program = tmp_path / "mongod"
    program.write_text(
        FAKE_MONGOD.replace(
            "sys.argv[2::2], sys.argv[3::2]", "*[iter(x for x in sys.argv[2:] if x != '--logappend')] * 2"
        )
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return program


def test_a_fresh_machine_gets_the_embedded_server(no_mongod, place):
    server = ensure_server(None, place)
    assert server.kind == "embedded"
    assert str(place) in server.description
    assert server.pid == read_state(place / "embedded").pid
    with server.client() as client:
        assert client.server_info()["embedded"]
        assert client.list_database_names() == []  # the probe has cleaned up
    server.stop()
    assert read_state(place / "embedded") is None
    server.stop()  # the second time, there is nothing to stop


def test_it_is_found_again_and_keeps_what_was_written(no_mongod, place):
    first = ensure_server(None, place)
    with first.client() as client:
        client.kept.things.insert_one({"_id": 1})
    assert ensure_server(None, place) == first
    first.stop()
    second = ensure_server(None, place)
    assert second.pid != first.pid
    with second.client() as client:
        assert client.kept.things.count_documents({}) == 1


def test_a_killed_server_is_replaced_and_its_traces_removed(no_mongod, place):
    first = ensure_server(None, place)
    os.kill(first.pid, signal.SIGKILL)
    second = ensure_server(None, place)
    assert second.pid != first.pid
    with second.client() as client:
        assert client.admin.command("ping")["ok"] == 1


def test_processes_that_start_together_share_one_server(no_mongod, place):
    code = (
        "import sys; from pathlib import Path; from crystalloop.db.serving.server import ensure_server;"
        "print(ensure_server(None, Path(sys.argv[1])).pid)"
    )
    command = [sys.executable, "-c", code, str(place)]
    starters = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    pids = {starter.communicate(timeout=60)[0] for starter in starters}
    assert pids == {f"{read_state(place / 'embedded').pid}\n"}


def test_threads_that_start_together_share_one_server(no_mongod, place):
    with ThreadPoolExecutor(4) as pool:
        servers = set(pool.map(lambda _: ensure_server(None, place), range(4)))
    assert len(servers) == 1


def test_a_given_uri_starts_nothing(no_mongod, place):
    running = ensure_server(None, place / "running")
    given = ensure_server(running.uri, place / "given")
    assert given.kind == "uri"
    assert given.pid is None
    assert not (place / "given" / "embedded").exists()
    given.stop()
    with running.client() as client:
        assert client.admin.command("ping")["ok"] == 1
    running.stop()


def test_a_given_uri_that_does_not_answer_is_an_error_without_the_password(no_mongod, place, monkeypatch):
    monkeypatch.setattr("crystalloop.db.serving.given.URI_DELAYS_S", ())
    missing = f"{place}/no.sock".replace("/", "%2F")
    with pytest.raises(DatabaseUnavailable, match=r"no database answers at .*no\.sock") as caught:
        ensure_server(f"mongodb://me:secret@{missing}", place)
    assert "secret" not in str(caught.value)
    assert "leave the URI out" in str(caught.value)


@pytest.mark.parametrize("uri", ["localhost:27017", "http://localhost", "mongodb://"])
def test_a_malformed_uri_is_refused_at_once(place, uri):
    before = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match="not a usable MongoDB connection string"):
        ensure_server(uri, place)
    assert time.monotonic() - before < 1.0


def test_mongod_on_path_is_preferred_and_found_again(fake_mongod, place):
    server = ensure_server(None, place)
    assert server.kind == "mongod"
    assert stat.S_IMODE((place / "mongod").stat().st_mode) == 0o700
    assert ensure_server(None, place) == server
    server.stop()
    fake_mongod.unlink()
    with pytest.raises(DatabaseUnavailable, match="written by mongod, which is not on PATH"):
        ensure_server(None, place)


def test_data_of_the_embedded_server_stay_with_it_when_mongod_appears(no_mongod, place, fake_mongod):
    fake_mongod.rename(fake_mongod.with_suffix(".away"))
    ensure_server(None, place).stop()
    fake_mongod.with_suffix(".away").rename(fake_mongod)
    assert ensure_server(None, place).kind == "embedded"


def test_a_mongod_that_does_not_start_is_an_error(fake_mongod, place):
    fake_mongod.write_text("#!/bin/sh\necho 'cannot listen' >&2\nexit 48\n")
    with pytest.raises(DatabaseUnavailable, match="did not start: cannot listen"):
        ensure_server(None, place)


def test_the_probe_is_quick_and_leaves_nothing_behind(mongodb_uri):
    before = time.monotonic()
    probe(mongodb_uri)
    assert time.monotonic() - before < 5.0  # 0.4 s alone on two cores; the tests may share them


def test_the_probe_names_the_check_that_failed(mongodb_uri, monkeypatch):
    monkeypatch.setattr(probing, "CHECKS", {"counting to three": lambda database: False})
    with pytest.raises(UnfitDatabase, match="answers wrongly: counting to three"):
        probe(mongodb_uri)

    def refused(database):
        raise OperationFailure("no such command")

    monkeypatch.setattr(probing, "CHECKS", {"counting to four": refused})
    with pytest.raises(UnfitDatabase, match="fails at: counting to four"):
        probe(mongodb_uri)


def test_an_unfit_server_of_our_own_is_stopped_again(no_mongod, place, monkeypatch):
    monkeypatch.setattr(probing, "CHECKS", {"counting to three": lambda database: False})
    with pytest.raises(UnfitDatabase):
        ensure_server(None, place)
    assert read_state(place / "embedded") is None
