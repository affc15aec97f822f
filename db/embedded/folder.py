"""The data folder: its one lock, where the socket is, and what a client needs to know to find the server."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

DATA, LOCK, STATE, LOG = "data.sqlite", "server.lock", "server.json", "server.log"
MAX_SOCKET_PATH_BYTES = 100
"""AF_UNIX addresses hold 108 bytes on Linux and 104 on macOS, the closing zero included."""
UNUSED_S = 300.0
"""A server stops after so many seconds without a client."""
_SHORT_PREFIX = "docserver-"


class FolderInUse(Exception):
    """Another server holds the data folder."""


class FolderNotPrivate(Exception):
    """The data folder belongs to another user."""


@dataclass(frozen=True)
class ServerState:
    """What a running server says about itself."""

    pid: int
    socket: str

    @property
    def uri(self) -> str:
        """The connection string."""
        return f"mongodb://{quote(self.socket, safe='')}"


def read_state(folder: Path) -> ServerState | None:
    """What the server of this folder wrote; it may have died since."""
    try:
        return ServerState(**json.loads((folder / STATE).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def prepare(folder: Path) -> Path:
    """Make the folder, for its owner alone; returns its absolute path.

    Raises:
        FolderNotPrivate: it belongs to another user.
    """
    folder = folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise FolderNotPrivate(f"{folder} belongs to another user; give a folder of your own")
    folder.chmod(0o700)
    return folder


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the folder. The lock is the kernel's and dies with the process, so a killed server leaves none behind.

    Raises:
        FolderInUse: another process holds it.
    """
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise FolderInUse(
                f"{folder} is served by process {holder} already; connect to that one, or stop it first"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def announced(folder: Path, socket: Path | None = None) -> Iterator[Path]:
    """The socket's path, made known in the folder while the server runs; to be entered under the lock.

    Args:
        folder: the data folder.
        socket: where the socket shall be; by default in the folder, or in a short private one if its path is too long.
    """
    _clear(read_state(folder))
    chosen = socket or _socket_path(folder)
    chosen.unlink(missing_ok=True)
    state = ServerState(os.getpid(), str(chosen))
    try:
        yield _publish(folder, state)
    finally:
        (folder / STATE).unlink(missing_ok=True)
        _clear(state)


def _publish(folder: Path, state: ServerState) -> Path:
    fresh = folder / f"{STATE}.new"
    fresh.write_text(json.dumps(asdict(state)))
    fresh.replace(folder / STATE)
    return Path(state.socket)


def _socket_path(folder: Path) -> Path:
    path = folder / "mongo.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for parent in (runtime, tempfile.gettempdir(), "/tmp"):
        if parent and len(os.fsencode(parent)) <= MAX_SOCKET_PATH_BYTES - 40 and os.access(parent, os.W_OK):
            return Path(tempfile.mkdtemp(prefix=_SHORT_PREFIX, dir=parent)) / "mongo.sock"  # mkdtemp makes it 0700
    raise FolderNotPrivate(f"the path of {folder} is too long for a socket, and no temporary folder is writable")


def _clear(state: ServerState | None) -> None:
    """Remove the socket of a server that has ended, and the short folder made for it."""
    if state is None:
        return
    socket = Path(state.socket)
    if socket.is_socket():
        socket.unlink()
    if socket.parent.name.startswith(_SHORT_PREFIX):
        shutil.rmtree(socket.parent, ignore_errors=True)
