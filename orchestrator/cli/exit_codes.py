"""The exit codes, and which of them an error ends with: its class says so itself, so that nothing is imported to ask."""

from __future__ import annotations

import errno
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1  # the work itself could not be done; nothing computed is lost
    USAGE = 2  # the campaign file, a data file or an argument is wrong
    ENVIRONMENT = 3  # pw.x, a pseudopotential, disk space or the like is missing
    DATABASE = 4  # the database cannot be reached; the same command resumes
    INTERRUPTED = 130  # Ctrl-C; the same command resumes


EXIT_KINDS: dict[str, Exit] = {
    "usage": Exit.USAGE,
    "environment": Exit.ENVIRONMENT,
    "failed": Exit.FAILED,
    "database": Exit.DATABASE,
}
"""What an error that a user can cause, or meet, says of itself: the `exit_kind` of its class, or of the class it is made from."""


MACHINE = frozenset({errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM, errno.EFBIG, errno.ESTALE})
"""What is wrong with a machine rather than with a file that somebody named."""


def _is_of_the_driver(error: BaseException) -> bool:
    return any(cls.__module__.partition(".")[0] in {"pymongo", "bson"} for cls in type(error).__mro__)


def code_and_sentence(error: BaseException) -> tuple[int, str] | None:
    """Exit code and message of an error that is no bug of ours; None for one that is."""
    kind = getattr(type(error), "exit_kind", None)
    if kind is not None:
        return EXIT_KINDS[kind], str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            Exit.ENVIRONMENT,
            f"no space left for {error.filename or 'a file'}; free some and repeat the command: finished work is kept",
        )
    if isinstance(error, OSError) and error.errno in MACHINE:
        return (
            Exit.ENVIRONMENT,
            f"{error.strerror}: {error.filename or 'a file'}; give this machine what it lacks and repeat the command: "
            "finished work is kept",
        )
    if isinstance(error, MemoryError):
        return Exit.ENVIRONMENT, "this machine has no memory left; close other programs, or use fewer slots"
    if _is_of_the_driver(error):
        said = (str(error).splitlines() or [type(error).__name__])[0].partition(", full error:")[0][:200]
        return Exit.DATABASE, f"the database does not do what it is asked: {said}; mend it and repeat the command"
    if isinstance(error, PermissionError):
        return (
            Exit.ENVIRONMENT,
            f"no permission for {error.filename}; change its owner or mode, or choose another `folder`",
        )
    return None
