"""`python -m crystalloop.db.embedded --folder DIR`: serve a data folder, in the foreground or detached."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from crystalloop.db.embedded import folder as folders
from crystalloop.db.embedded.engine.engine import CURSOR_TIMEOUT_S
from crystalloop.db.embedded.engine.storage import StorageError
from crystalloop.db.embedded.service import serve

log = logging.getLogger(__name__)


def main() -> int:
    """Parse the arguments and serve; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m crystalloop.db.embedded", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="data folder, made if need be")
    parser.add_argument(
        "--idle", type=float, default=folders.UNUSED_S, help="stop after so many seconds unused; 0: never"
    )
    parser.add_argument("--cursor-timeout", type=float, default=CURSOR_TIMEOUT_S, help="seconds that a cursor may rest")
    parser.add_argument("--socket", type=Path, help="path of the socket, in a private folder (default: in --folder)")
    parser.add_argument("--detach", action="store_true", help="return when it is ready, and leave it running")
    options = parser.parse_args()
    os.umask(0o077)

    def run(ready: Callable[[], None]) -> int:
        try:
            serve(
                options.folder,
                idle_s=options.idle,
                cursor_timeout_s=options.cursor_timeout,
                socket_path=options.socket,
                ready=ready,
            )
        except (folders.FolderInUse, folders.FolderNotPrivate, StorageError, OSError) as error:
            log.error("%s", error)
            return 1
        return 0

    if options.detach:
        return _detached(options.folder, run)
    _log_to_stderr()
    return run(lambda: None)


def _detached(folder: Path, run: Callable[[Callable[[], None]], int]) -> int:
    """Run in a session of its own, logging to the data folder; returns 0 here once it is ready, 1 if it ends before."""
    log_file = folders.prepare(folder) / folders.LOG
    start = log_file.stat().st_size if log_file.exists() else 0
    ready_read, ready_write = os.pipe()
    if os.fork():
        os.close(ready_write)
        if os.read(ready_read, 1):
            return 0
        with log_file.open() as file:
            file.seek(start)
            sys.stderr.write(file.read())
        return 1
    os.close(ready_read)
    os.setsid()
    _redirect(log_file)
    _log_to_stderr()

    def ready() -> None:
        os.write(ready_write, b"1")
        os.close(ready_write)

    os._exit(run(ready))


def _redirect(log_file: Path) -> None:
    with log_file.open("ab") as log_to, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log_to.fileno(), 1)
        os.dup2(log_to.fileno(), 2)


def _log_to_stderr() -> None:
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s", level=logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
