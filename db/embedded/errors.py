"""The errors that a command may be answered with, under MongoDB's own numbers and names."""

from __future__ import annotations

from enum import Enum
from typing import Any


class Code(Enum):
    """MongoDB error codes in use (https://www.mongodb.com/docs/manual/reference/error-codes/)."""

    BadValue = 2
    UnknownError = 8
    FailedToParse = 9
    TypeMismatch = 14
    NamespaceNotFound = 26
    IndexNotFound = 27
    PathNotViable = 28
    CursorNotFound = 43
    NamespaceExists = 48
    CommandNotFound = 59
    ImmutableField = 66
    CannotCreateIndex = 67
    InvalidNamespace = 73
    IndexOptionsConflict = 85
    IndexKeySpecsConflict = 86
    ShutdownInProgress = 91
    NotImplemented = 238
    BSONObjectTooLarge = 10334
    DuplicateKey = 11000
    OutOfDiskSpace = 14031


class CommandError(Exception):
    """A command that cannot be carried out; answered to the client, never fatal to the server."""

    def __init__(self, code: Code, message: str, **details: Any) -> None:  # noqa: ANN401
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def as_write_error(self, index: int) -> dict[str, Any]:
        """As an entry of `writeErrors` for the operation number `index`."""
        return {"index": index, "code": self.code.value, "errmsg": self.message, **self.details}

    def as_reply(self) -> dict[str, Any]:
        """As the reply to a whole command."""
        return {
            "ok": 0.0,
            "errmsg": self.message,
            "code": self.code.value,
            "codeName": self.code.name,
            **self.details,
        }
