"""An embedded server as a process of a test: started, killed, started again on the same data."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from crystalloop.db.embedded.folder import read_state
from crystalloop.db.ledger.access.connection import connect

START_S = 30.0


class ServerProcess:
    """`python -m crystalloop.db.embedded` in the foreground, ready when the constructor returns.

    Args:
        folder: its data folder.
        options: further arguments.
        max_file_blocks: limit of every file it writes, in blocks of 512 bytes, as if the disk were full.
    """

    def __init__(self, folder: Path, *options: str, max_file_blocks: int | None = None) -> None:
        self.folder = folder
        command = [sys.executable, "-P", "-m", "crystalloop.db.embedded", "--folder", str(folder), *options]
        if max_file_blocks is not None:
            command = ["sh", "-c", f'ulimit -f {max_file_blocks}; exec "$@"', "sh", *command]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
        self.log = self._until_ready()

    def _until_ready(self) -> str:
        seen = b""
        while b"serving" not in seen:
            readable, _, _ = select.select([self.process.stderr], [], [], START_S)
            piece = os.read(self.process.stderr.fileno(), 65536) if readable else b""
            if not piece:
                self.end()
                raise RuntimeError(seen.decode() or "no sign of life")
            seen += piece
        return seen.decode()

    @property
    def uri(self) -> str:
        return read_state(self.folder).uri

    def client(self):
        return connect(self.uri)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def terminate(self) -> int:
        self.process.terminate()
        return self.end()

    def end(self, timeout_s: float = START_S) -> int:
        """Wait for its end; returns the exit status."""
        try:
            return self.process.wait(timeout_s)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.end()
