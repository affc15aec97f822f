"""The running server: a Unix socket, a thread for each connection, and the end of it all."""

from __future__ import annotations

import gc
import itertools
import logging
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from crystalloop.db.embedded import folder as folders
from crystalloop.db.embedded.commands.table import answer
from crystalloop.db.embedded.engine.engine import CURSOR_TIMEOUT_S, DocumentEngine
from crystalloop.db.embedded.engine.storage import Storage
from crystalloop.db.embedded.wire import ProtocolError, encode_reply, read_message

log = logging.getLogger(__name__)

_GC_THRESHOLDS = (100_000, 50, 1000)
"""Stored documents are trees and need no cycle collector, which would walk through all of them again and again."""
_PIECE_BYTES = 1 << 20
_MOST_CONNECTIONS = 2000
"""More are closed at once: each is a thread."""
_GRACE_S = 5.0
"""How long a stopping server waits for answers under way."""


def serve(
    folder: Path,
    *,
    idle_s: float = folders.UNUSED_S,
    cursor_timeout_s: float = CURSOR_TIMEOUT_S,
    socket_path: Path | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve a data folder until SIGTERM, SIGINT, the command `shutdown`, or `idle_s` seconds without a connection.

    Args:
        folder: holds the data; made if need be.
        idle_s: 0 for never.
        cursor_timeout_s: how long a cursor may rest.
        socket_path: where the socket shall be, in a folder that is private already.
        ready: called when connections are accepted.

    Raises:
        FolderInUse: another server holds the folder.
        StorageError: the data file cannot be used.
    """
    folder = folders.prepare(folder)
    with folders.lock(folder):
        gc.set_threshold(*_GC_THRESHOLDS)
        engine = DocumentEngine(Storage(folder / folders.DATA), cursor_timeout_s)
        with folders.announced(folder, socket_path) as path, _listening(path) as listener:
            service = Service(engine, listener, idle_s)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: service.stop())
            log.info("serving %s on %s", folder, path)
            ready()
            reason = service.run()
            log.info("stopped: %s", reason)


def _listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(256)
    listener.setblocking(False)
    return listener


class Service:
    """Accepts connections for an engine.

    Args:
        engine: answers the commands; closed at the end.
        listener: a bound, listening, non-blocking socket.
        idle_s: seconds without a connection after which to stop; 0 for never.
    """

    def __init__(self, engine: DocumentEngine, listener: socket.socket, idle_s: float) -> None:
        self._engine = engine
        self._listener = listener
        self._idle_s = idle_s
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._empty_since = time.monotonic()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)

    def stop(self) -> None:
        """End `run`; may be called from any thread and from a signal handler."""
        with suppress(OSError):  # the second call of a service that has ended
            self._wake.send(b"s")

    def run(self) -> str:
        """Accept connections until told to stop; returns why it stopped."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            reason = ""
            while not reason:
                ready = {key.fileobj for key, _ in selector.select(self._until_idle())}
                if self._listener in ready:
                    self._accept()
                elif self._woken in ready:
                    reason = "asked to"
                elif self._until_idle() == 0.0:
                    reason = f"no connection for {self._idle_s:g} s"
        self._end()
        return reason

    def _until_idle(self) -> float | None:
        """Seconds until there is nobody left to serve; None for never."""
        with self._lock:
            if not self._idle_s:
                return None
            if self._connections:
                return max(self._idle_s / 4, 0.05)
            return max(0.0, self._empty_since + self._idle_s - time.monotonic())

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError as error:  # the peer has gone again, or there are too many open files: others are still served
            log.warning("a connection could not be accepted: %s", error)
            return
        peer.setblocking(True)
        thread = threading.Thread(target=self._converse, args=(peer,), daemon=True)
        with self._lock:
            full = len(self._connections) >= _MOST_CONNECTIONS
            if not full:
                self._connections[peer] = thread
        try:
            if full:
                raise RuntimeError(f"there are {_MOST_CONNECTIONS} already")
            thread.start()
        except RuntimeError as error:  # no thread, no connection: others are still served
            log.warning("a connection was closed at once: %s", error)
            with self._lock:
                self._connections.pop(peer, None)
            peer.close()

    def _converse(self, peer: socket.socket) -> None:
        try:
            while self._exchange(peer):
                pass
        except (EOFError, OSError):
            pass  # the peer hung up
        except ProtocolError as error:
            log.warning("a connection was closed after %s", error)
        except Exception:  # whatever a peer sent, the others are still served
            log.exception("a connection was closed after an error")
        finally:
            peer.close()
            with self._lock:
                self._connections.pop(peer, None)
                self._empty_since = time.monotonic()

    def _exchange(self, peer: socket.socket) -> bool:
        message = read_message(lambda size: _receive(peer, size))
        reply = answer(self._engine, message.database, message.command)
        if message.wants_reply:
            peer.sendall(encode_reply(message, reply, next(self._ids) & 0x7FFFFFFF))
        if next(iter(message.command)) == "shutdown":
            self.stop()
            return False
        return True

    def _end(self) -> None:
        self._listener.close()
        self._engine.close()
        with self._lock:
            connections = dict(self._connections)
        for peer in connections:
            try:
                peer.shutdown(socket.SHUT_RD)  # the thread finishes its answer and then reads the end
            except OSError:
                continue  # it has just hung up
        deadline = time.monotonic() + _GRACE_S
        for thread in connections.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        self._wake.close()
        self._woken.close()


def _receive(peer: socket.socket, size: int) -> bytes:
    """Exactly so many bytes; memory is taken as they come, not as they are promised."""
    pieces, left = [], size
    while left:
        piece = peer.recv(min(left, _PIECE_BYTES))
        if not piece:
            raise EOFError
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
