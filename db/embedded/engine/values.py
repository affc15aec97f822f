"""Values as BSON compares them, and the errors a command may be answered with under MongoDB's own numbers."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from mongomock.filtering import BsonComparable


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


BsonDocument = dict[str, Any]
STORED: CodecOptions[BsonDocument] = CodecOptions(
    document_class=dict, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
"""How stored documents are decoded: naive UTC times, out-of-range times kept as they are."""
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 180  # MongoDB's own limit of nesting
SCALARS = (bool, int, float, str, ObjectId, datetime, bytes)
"""Types whose equality a hash index answers exactly."""


def path_values(value: Any, parts: Sequence[str]) -> list[Any]:  # noqa: ANN401
    """Every value that a dotted path reaches; arrays on the way and at the end are entered, as MongoDB does."""
    if not parts:
        return list(value) if isinstance(value, list) and value else [value]
    if isinstance(value, dict):
        return path_values(value[parts[0]], parts[1:]) if parts[0] in value else []
    if not isinstance(value, list):
        return []
    found = [leaf for item in value if isinstance(item, dict) for leaf in path_values(item, parts)]
    if parts[0].isdigit() and int(parts[0]) < len(value):
        found += path_values(value[int(parts[0])], parts[1:])
    return found


def canonical(value: Any) -> Hashable:  # noqa: ANN401
    """A hashable stand-in: equal exactly where MongoDB calls the values equal (1 and 1.0 are, 1 and true are not)."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, float) and math.isnan(value):
        return ("nan",)
    if value is None or isinstance(value, SCALARS):
        return value
    if isinstance(value, dict):
        return ("object", tuple((key, canonical(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("array", tuple(canonical(item) for item in value))
    if isinstance(value, Decimal128):
        return ("decimal", str(value)) if value.to_decimal().is_nan() else value.to_decimal()
    return (type(value).__name__, bson.encode({"": value}))


def sort_key(document: BsonDocument, path: str, direction: int) -> tuple[int, Any]:
    """Key of a document in an ordering by `path`: an array counts as its smallest (or, descending, largest) element."""
    if "." not in path and not isinstance(document.get(path), list):
        return _rank(document.get(path))
    keys = [_rank(value) for value in path_values(document, path.split("."))] or [(5, 0)]
    if len(keys) == 1:
        return keys[0]
    return min(keys) if direction > 0 else max(keys)


def _rank(value: Any) -> tuple[int, Any]:  # noqa: ANN401
    if value is None:
        return 5, 0
    if isinstance(value, bool):
        return 40, value
    if isinstance(value, int | float):
        return 10, -math.inf if value != value else value
    if isinstance(value, str):
        return 15, value
    if isinstance(value, list):
        return (25, BsonComparable(value)) if value else (4, 0)
    if isinstance(value, dict):
        return 20, BsonComparable(value)
    if isinstance(value, bytes):
        return 30, (len(value), value)
    if isinstance(value, ObjectId):
        return 35, value
    if isinstance(value, datetime):
        return 45, value
    if isinstance(value, Decimal128):
        return 10, value.to_decimal()
    return 60, str(value)
