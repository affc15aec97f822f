"""What the running command has changed: the statements for the disk, and the way back in memory."""

from __future__ import annotations

from collections.abc import Callable

from crystalloop.db.embedded.storage import Statement


class Journal:
    """Collects the changes of one command, so that disk and memory change together or not at all."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self._undo: list[Callable[[], None]] = []

    def note(self, undo: Callable[[], None], *statements: Statement) -> None:
        """Record a change that was just made in memory."""
        self.statements.extend(statements)
        self._undo.append(undo)

    def forget(self) -> None:
        """The changes are on disk."""
        self.statements.clear()
        self._undo.clear()

    def revert(self) -> None:
        """Take the changes back, last first."""
        for undo in reversed(self._undo):
            undo()
        self.forget()
