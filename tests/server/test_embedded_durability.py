"""The embedded server as a process: what survives its end, who may reach it, and that there is only one."""

from __future__ import annotations

import os
import random
import resource
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from embedded_process import ServerProcess
from pymongo.errors import AutoReconnect, CursorNotFound, DuplicateKeyError, OperationFailure

from crystalloop.db.embedded.folder import read_state
from crystalloop.db.ledger.access.connection import connect

pytestmark = pytest.mark.slow


def wait_until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_acknowledged_write_survives_kill_9(tmp_path):
    rng = random.Random(3)
    acknowledged = []
    for round_ in range(3):
        with ServerProcess(tmp_path) as server, server.client() as client:
            collection = client.kept.things
            assert [document["_id"] for document in collection.find()][: len(acknowledged)] == acknowledged
            killer = threading.Timer(rng.uniform(0.05, 0.3), server.kill)
            killer.start()
            number = 1000 * round_
            with pytest.raises(AutoReconnect):
                while True:
                    number += 1
                    collection.insert_one({"_id": number})
                    acknowledged.append(number)
            killer.join()
        acknowledged = sorted({*acknowledged, *unacknowledged(tmp_path, acknowledged)})


def unacknowledged(folder, acknowledged):
    """What was written although its answer was lost: at most the write under way."""
    with ServerProcess(folder) as server, server.client() as client:
        found = {document["_id"] for document in client.kept.things.find()}
        server.terminate()
    assert found >= set(acknowledged)
    assert len(found - set(acknowledged)) <= 1
    return found - set(acknowledged)


def test_changes_of_every_kind_are_there_after_kill_9(tmp_path):
    with ServerProcess(tmp_path) as server, server.client() as client:
        database = client.kept
        database.a.insert_many({"_id": i, "u": i} for i in range(5))
        database.a.create_index("u", unique=True)
        database.a.create_index("dropped")
        database.a.drop_index("dropped_1")
        database.a.update_one({"_id": 1}, {"$set": {"deep": [[1.5]]}})
        database.a.delete_one({"_id": 2})
        database.gone.insert_one({"_id": 1})
        database.gone.drop()
        database.b.insert_one({"_id": "old"})
        database.a.rename("b", dropTarget=True)
        database.create_collection("empty")
        before = list(database.b.find())
        server.kill()
    with ServerProcess(tmp_path) as server, server.client() as client:
        database = client.kept
        assert sorted(database.list_collection_names()) == ["b", "empty"]
        assert list(database.b.find()) == before
        assert [document["_id"] for document in before] == [0, 1, 3, 4]
        assert sorted(database.b.index_information()) == ["_id_", "u_1"]
        with pytest.raises(DuplicateKeyError):
            database.b.insert_one({"u": 3})


def test_a_full_disk_is_an_error_of_the_command_and_memory_keeps_to_the_disk(tmp_path):
    written = []
    with ServerProcess(tmp_path, max_file_blocks=1000) as server, server.client() as client:
        collection = client.kept.things
        collection.create_index("n", unique=True)
        with pytest.raises(OperationFailure, match="nothing was changed"):
            for number in range(1000):
                collection.insert_many(
                    [{"_id": (2 * number + i), "n": 2 * number + i, "x": "x" * 4000} for i in (0, 1)]
                )
                written += [2 * number, 2 * number + 1]
        assert 10 < len(written) < 300
        assert [document["_id"] for document in collection.find()] == written
        lost = written[-1] + 1
        with pytest.raises(OperationFailure, match="nothing was changed"):
            collection.update_many({}, {"$set": {"y": "y" * 8000}})
        assert collection.count_documents({"y": {"$exists": True}}) == 0
        assert collection.count_documents({"n": lost}) == 0
        assert client.kept.list_collection_names() == ["things"]
        server.kill()
    with ServerProcess(tmp_path) as server, server.client() as client:
        assert [document["_id"] for document in client.kept.things.find()] == written
        client.kept.things.insert_one({"_id": lost, "n": lost})


def test_a_second_server_on_a_folder_is_refused_with_the_holders_pid(tmp_path):
    with ServerProcess(tmp_path) as server:
        with pytest.raises(RuntimeError, match=rf"served by process {server.process.pid} already"):
            ServerProcess(tmp_path)
        with server.client() as client:
            assert client.admin.command("ping")["ok"] == 1


def test_the_socket_is_for_its_owner_alone_and_no_port_is_open(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    with ServerProcess(folder) as server:
        path = Path(read_state(folder).socket)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in folder.iterdir()} == {0}
        sockets = [str(link.readlink()) for link in Path(f"/proc/{server.process.pid}/fd").iterdir()]
        inodes = {name[8:-1] for name in sockets if name.startswith("socket:")}
        tcp = [
            line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()
        ]
        assert not inodes & {line[9] for line in tcp}


def test_a_long_path_gets_a_short_private_socket_that_is_removed_again(tmp_path):
    folder = tmp_path / ("long" * 30)
    with ServerProcess(folder) as server, server.client() as client:
        path = Path(read_state(folder).socket)
        assert len(str(path)) <= 100
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        client.kept.things.insert_one({"_id": 1})
        server.kill()
    with ServerProcess(folder) as server, server.client() as client:
        assert not path.parent.exists()
        assert client.kept.things.count_documents({}) == 1
        again = Path(read_state(folder).socket)
        assert server.terminate() == 0
    assert not again.parent.exists()


def test_sigterm_ends_it_cleanly(tmp_path):
    with ServerProcess(tmp_path) as server, server.client() as client:
        client.kept.things.insert_one({"_id": 1})
        assert server.terminate() == 0
    assert names(tmp_path) == ["data.sqlite", "server.lock"]


def test_it_ends_by_itself_when_nobody_is_connected(tmp_path):
    with ServerProcess(tmp_path, "--idle", "0.5") as server:
        with server.client() as client:
            client.admin.command("ping")
            with pytest.raises(subprocess.TimeoutExpired):
                server.process.wait(1.5)
        assert server.end() == 0
    assert names(tmp_path) == ["data.sqlite", "server.lock"]


def test_a_resting_cursor_is_forgotten(tmp_path):
    with ServerProcess(tmp_path, "--cursor-timeout", "0.2") as server, server.client() as client:
        client.kept.things.insert_many({"_id": i} for i in range(300))
        cursor = client.kept.command("find", "things", batchSize=10)["cursor"]["id"]
        wait_until(lambda: gone(client, cursor))


def gone(client, cursor):
    time.sleep(0.3)
    try:
        client.kept.command("getMore", cursor, collection="things", batchSize=1)
    except CursorNotFound:
        return True
    return False


def test_a_detached_server_outlives_the_process_that_started_it(tmp_path):
    module = "crystalloop.db.embedded"
    start = (
        f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-P', '-m', '{module}', *sys.argv[1:]]))"
    )
    command = [sys.executable, "-c", start, "--folder", str(tmp_path), "--detach"]
    subprocess.run(command, check=True, start_new_session=True, timeout=60)
    state = read_state(tmp_path)
    assert os.getsid(state.pid) != os.getsid(0)
    with connect(state.uri) as client:
        client.kept.things.insert_one({"_id": 1})
        client.admin.command("shutdown")
    wait_until(lambda: read_state(tmp_path) is None)
    assert "serving" in (tmp_path / "server.log").read_text()


def test_a_damaged_data_file_is_named_and_left_as_it_is(tmp_path):
    (tmp_path / "data.sqlite").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(RuntimeError, match=r"data\.sqlite cannot be opened"):
        ServerProcess(tmp_path)
    assert (tmp_path / "data.sqlite").read_bytes().startswith(b"not a database")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("<iiii", 2**31 - 1, 1, 0, 2013),
        struct.pack("<iiii", 30, 1, 0, 2013) + b"\xff" * 14,
        struct.pack("<iiiiIBi", 25, 1, 0, 2013, 0, 0, -5),
        struct.pack("<iiii", 20, 1, 0, 2012) + b"\0" * 4,
    ],
)
def test_nonsense_ends_its_own_connection_only(tmp_path, sent):
    with ServerProcess(tmp_path) as server, server.client() as client:
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(10)
            raw.connect(read_state(tmp_path).socket)
            raw.sendall(sent)
            with suppress(ConnectionResetError):
                assert raw.recv(1) == b""
        assert client.admin.command("ping")["ok"] == 1


def test_many_connections_are_served(tmp_path):
    most = min(100, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
    with ServerProcess(tmp_path) as server:
        clients = [server.client() for _ in range(most // 2)]
        assert all(client.admin.command("ping")["ok"] == 1 for client in clients)
        for client in clients:
            client.close()
