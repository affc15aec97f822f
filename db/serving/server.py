"""Finds or starts the database: an explicit URI, else `mongod` on PATH, else the embedded server; and probes it.

A server started here is left running for others; it is found again by its folder. What is stored in it is no concern
of this module.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from crystalloop.db.embedded import folder as embedded
from crystalloop.db.ledger.access.connection import Document, connect
from crystalloop.db.serving.given import DatabaseUnavailable, answering, hello
from crystalloop.db.serving.probe import probe

START_S = 120.0
"""How long a server may take to read its data."""
STOP_S = 20.0
_POLL_S = 0.05
ServerKind = Literal["uri", "mongod", "embedded"]


@dataclass(frozen=True)
class Server:
    """A database that answers.

    Args:
        uri: the connection string, without a database name.
        kind: how it was found.
        description: a sentence for the user, without passwords.
        pid: of a server started by us.
    """

    uri: str
    kind: ServerKind
    description: str
    pid: int | None = None

    def __repr__(self) -> str:
        return f"Server({self.kind}: {self.description})"  # the URI may hold a password

    def client(self) -> MongoClient[Document]:
        """A client with this project's time-outs; close it after use."""
        return connect(self.uri)

    def stop(self) -> None:
        """Stop a server that was started by us, cleanly; does nothing to one that was given by URI.

        Raises:
            DatabaseUnavailable: it is still running after 20 s.
        """
        if self.kind == "uri" or not _listens(self.uri):
            return
        # mongod hangs up instead of answering, and a server that has ended already is what we want
        with connect(self.uri) as client, suppress(PyMongoError):
            client.admin.command("shutdown")
        deadline = time.monotonic() + STOP_S
        while self.pid is not None and _alive(self.pid):
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(f"process {self.pid} ({self.kind}) still runs {STOP_S:g} s after shutdown")
            time.sleep(_POLL_S)


def ensure_server(uri: str | None, folder: Path, *, idle_s: float = embedded.UNUSED_S) -> Server:
    """A database that answers and is fit for use; a fresh one is probed first.

    Args:
        uri: an explicit connection string; then nothing is started.
        folder: where a server of our own keeps its data; one server at a time runs for it, whoever asks.
        idle_s: the embedded server stops by itself after so many seconds without a connection; 0 for never.

    Raises:
        DatabaseUnavailable: nothing answers, or the server did not start.
        UnfitDatabase: it answers, but not as MongoDB would.
    """
    folder = folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _one_at_a_time(folder):
        if uri:
            shown, version = answering(uri, folder)
            return Server(uri, "uri", f"the database at {shown} (version {version})")
        start = _launcher(folder)
        running = start.running(folder)
        if running is not None:
            return running
        server = start.start(folder, idle_s)
        try:
            probe(server.uri)
        except BaseException:
            server.stop()
            raise
        return server


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    with (folder / "launch.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the kernel's: it ends with the process
        yield


# --- a server of our own


@dataclass(frozen=True)
class _Launcher:
    running: Callable[[Path], Server | None]
    start: Callable[[Path, float], Server]


def _launcher(folder: Path) -> _Launcher:
    """What runs for this folder: what wrote its data, else mongod where there is one, else the embedded server."""
    mongod = shutil.which("mongod")
    has_mongod_data = (folder / "mongod").is_dir()
    if (folder / "embedded" / embedded.DATA).exists() or not (mongod or has_mongod_data):
        return _Launcher(_running_embedded, _start_embedded)
    if mongod is None:
        raise DatabaseUnavailable(
            f"the data in {folder / 'mongod'} was written by mongod, which is not on PATH; "
            "install it, or give another folder"
        )
    return _Launcher(_running_mongod, lambda place, _: _start_mongod(mongod, place))


def _running_embedded(folder: Path) -> Server | None:
    state = embedded.read_state(folder / "embedded")
    if state is None or not _answers(state.uri):
        return None
    return Server(state.uri, "embedded", f"the embedded one-machine database in {folder}", state.pid)


def _start_embedded(folder: Path, idle_s: float) -> Server:
    data = folder / "embedded"
    command = [
        sys.executable,
        "-P",
        "-m",
        "crystalloop.db.embedded",
        "--folder",
        str(data),
        "--idle",
        str(idle_s),
        "--detach",
    ]
    deadline = time.monotonic() + STOP_S
    while (outcome := _run(command, folder)).returncode != 0:
        if "is served by process" not in outcome.stderr or time.monotonic() > deadline:
            raise DatabaseUnavailable(f"the embedded database did not start: {_last_line(outcome.stderr)}")
        time.sleep(_POLL_S)  # the one before is about to stop
    server = _running_embedded(folder)
    if server is None:
        raise DatabaseUnavailable(f"the embedded database started but does not answer; see {data / embedded.LOG}")
    return server


def _running_mongod(folder: Path) -> Server | None:
    uri, pid_file = _mongod_uri(folder), folder / "mongod" / "mongod.pid"
    if not pid_file.exists() or not _answers(uri):
        return None
    version = hello(uri)["version"]
    return Server(uri, "mongod", f"mongod {version} with its data in {folder}", int(pid_file.read_text()))


def _mongod_uri(folder: Path) -> str:
    return f"mongodb://{quote(str(folder / 'mongod' / 'mongo.sock'), safe='')}"


def _start_mongod(mongod: str, folder: Path) -> Server:
    place = embedded.prepare(folder / "mongod")
    (place / "data").mkdir(exist_ok=True)
    path = place / "mongo.sock"
    if len(os.fsencode(path)) > embedded.MAX_SOCKET_PATH_BYTES:
        raise DatabaseUnavailable(f"{path} is too long for a socket; give a folder with a shorter path")
    command = [mongod, "--fork", "--dbpath", str(place / "data"), "--logpath", str(place / "mongod.log"), "--logappend"]
    command += ["--pidfilepath", str(place / "mongod.pid"), "--bind_ip", str(path), "--filePermissions", "0600"]
    outcome = _run(command, folder)
    server = _running_mongod(folder) if outcome.returncode == 0 else None
    if server is None:
        raise DatabaseUnavailable(
            f"{mongod} did not start: {_last_line(outcome.stderr or outcome.stdout)}; see {place / 'mongod.log'}"
        )
    return server


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that puts its server in the background and returns."""
    try:
        return subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=START_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DatabaseUnavailable(f"{command[0]} could not be started: {error}") from error


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]


def _listens(uri: str) -> bool:
    """Whether somebody accepts connections on the socket of one of our servers; the file may outlive a killed one."""
    with socket.socket(socket.AF_UNIX) as attempt:
        return attempt.connect_ex(unquote(uri.removeprefix("mongodb://"))) == 0


def _answers(uri: str) -> bool:
    if not _listens(uri):
        return False
    try:
        hello(uri)
    except PyMongoError:
        return False
    return True


def _alive(pid: int) -> bool:
    """Whether the process runs; one that has ended but was not waited for by its parent does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except (OSError, IndexError):
        return True  # no /proc here: it answers signals, so it runs
    return state != "Z"
