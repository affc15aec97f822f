"""MongoDB's wire protocol: messages to commands and back. No socket is opened and no command understood here.

OP_MSG, and OP_QUERY for a driver's first hello; see https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bson
from bson.errors import BSONError

from crystalloop.db.embedded.engine.values import STORED, BsonDocument

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
_CHECKSUM, _MORE_TO_COME = 1, 2
MAX_BYTES = 50_000_000
"""Longest message accepted: what hello announces, with room for its envelope."""


class ProtocolError(Exception):
    """The peer does not speak this protocol; the connection is of no further use."""


@dataclass(frozen=True)
class Message:
    """A received command."""

    id: int
    operation: int
    database: str
    command: BsonDocument
    wants_reply: bool


def read_message(receive: Callable[[int], bytes]) -> Message:
    """Read one message.

    Args:
        receive: returns exactly so many bytes, or raises EOFError.

    Raises:
        ProtocolError: it is not a message of this protocol.
        EOFError: the peer hung up.
    """
    length, id_, _, operation = struct.unpack("<iiii", receive(16))
    if not 16 < length <= MAX_BYTES:
        raise ProtocolError(f"a message of {length} bytes")
    body = receive(length - 16)
    try:
        if operation == OP_MSG:
            return _op_msg(id_, body)
        if operation == OP_QUERY:
            return _op_query(id_, body)
    except (BSONError, ValueError, IndexError, struct.error, RecursionError, OverflowError, MemoryError) as error:
        raise ProtocolError(f"a malformed message: {error}") from error
    raise ProtocolError(f"operation {operation}")


def encode_reply(message: Message, reply: dict[str, Any], id_: int) -> bytes:
    """The bytes that answer a message."""
    body = bson.encode(reply)
    if message.operation == OP_QUERY:
        return struct.pack("<iiiiiqii", 36 + len(body), id_, message.id, OP_REPLY, 8, 0, 0, 1) + body
    return struct.pack("<iiiiIb", 21 + len(body), id_, message.id, OP_MSG, 0, 0) + body


def _op_msg(id_: int, body: bytes) -> Message:
    (flags,) = struct.unpack_from("<I", body)
    end = len(body) - (4 if flags & _CHECKSUM else 0)
    command: BsonDocument = {}
    sequences: BsonDocument = {}
    at = 4
    while at < end:
        kind = body[at]
        (size,) = struct.unpack_from("<i", body, at + 1)
        section = body[at + 1 : at + 1 + size]
        if size < 5 or at + 1 + size > end:
            raise ProtocolError(f"a section of {size} bytes")
        if kind == 0:
            command = bson.decode(section, STORED)
        elif kind == 1:
            name_end = section.index(b"\0", 4)
            sequences[section[4:name_end].decode()] = bson.decode_all(section[name_end + 1 :], STORED)
        else:
            raise ProtocolError(f"a section of kind {kind}")
        at += 1 + size
    if not command:
        raise ProtocolError("a message without a command")
    database = command.get("$db", "admin")
    if not isinstance(database, str):
        raise ProtocolError(f"a database named {database!r:.60}")
    return Message(id_, OP_MSG, database, {**command, **sequences}, not flags & _MORE_TO_COME)


def _op_query(id_: int, body: bytes) -> Message:
    name_end = body.index(b"\0", 4)
    (size,) = struct.unpack_from("<i", body, name_end + 9)
    command = bson.decode(body[name_end + 9 : name_end + 9 + size], STORED)
    database = body[4:name_end].decode().partition(".")[0]
    command = command.get("$query", command)
    if not isinstance(command, dict) or not command:
        raise ProtocolError("a message without a command")
    return Message(id_, OP_QUERY, database, command, True)
