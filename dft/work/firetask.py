"""The FireWorks task round one candidate's work, and the name under which the queue stores it. The work: candidate_work."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from fireworks.core.firework import FiretaskBase, FWAction

from crystalloop.dft.work.candidate_work import WorkContext, perform

STORED_MODULE = "dft.firetask"
"""The module that queued fireworks name, of old databases and new ones alike, wherever this file stands."""
sys.modules.setdefault(STORED_MODULE, sys.modules[__name__])  # FireWorks imports what a stored task names
_context: ContextVar[WorkContext] = ContextVar("work context")


@contextmanager
def working(context: WorkContext) -> Iterator[None]:
    """Make the context known to the tasks that FireWorks builds from the database."""
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


class RelaxTask(FiretaskBase):  # type: ignore[misc]  # FireWorks is untyped
    """Relax the candidate that the spec names; always completes, the outcome stands in the store."""

    _fw_name = f"{{{{{STORED_MODULE}.RelaxTask}}}}"

    def run_task(self, fw_spec: Mapping[str, Any]) -> FWAction:
        """See FireWorks. Needs `working(context)` around it."""
        context = _context.get()
        outcome = perform(fw_spec["candidate_id"], context)
        return FWAction(stored_data={"outcome": str(outcome), "worker": context.worker})
