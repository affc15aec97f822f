"""Messages that no driver sends: an error or the end of that connection, never of the server, and no memory for promises."""

from __future__ import annotations

import random
import socket
import struct
import time
from pathlib import Path

import bson
import pytest
from bson.regex import Regex
from embedded_process import ServerProcess
from pymongo.errors import OperationFailure

from crystalloop.db.embedded.commands.patterns import slow
from crystalloop.db.embedded.engine.values import MAX_DEPTH
from crystalloop.db.embedded.folder import read_state
from crystalloop.db.embedded.wire import ProtocolError, read_message

COMMANDS = [
    {"find": "things", "filter": {"a": 1}, "sort": {"a": 1}, "limit": 3, "projection": {"a": 1}},
    {"insert": "things", "documents": [{"a": 1}]},
    {"update": "things", "updates": [{"q": {"a": 1}, "u": {"$set": {"b": 2}}, "multi": True}]},
    {"delete": "things", "deletes": [{"q": {"a": 9}, "limit": 0}]},
    {"findAndModify": "things", "query": {"a": 1}, "update": {"$inc": {"n": 1}}, "new": True},
    {"aggregate": "things", "pipeline": [{"$match": {"a": 1}}, {"$group": {"_id": "$a"}}], "cursor": {}},
    {"getMore": 5, "collection": "things"},
    {"killCursors": "things", "cursors": [1]},
    {"count": "things", "query": {}},
    {"distinct": "things", "key": "a", "query": {}},
    {"createIndexes": "things", "indexes": [{"key": {"a": 1}, "name": "a_1"}]},
    {"dropIndexes": "things", "index": "a_1"},
    {"listIndexes": "things"},
    {"listCollections": 1, "filter": {}, "cursor": {}},
    {"listDatabases": 1},
    {"renameCollection": "kept.things", "to": "kept.others"},
    {"create": "more"},
    {"drop": "more"},
    {"hello": 1},
    {"buildInfo": 1},
    {"nonsense": 1},
]
ODD = [
    None,
    True,
    -1,
    2**62,
    1.5,
    float("nan"),
    "",
    "x\0y",
    "$",
    [],
    [[]],
    [None],
    {},
    {"$x": 1},
    {"a": {"$y": [1]}},
    b"\0",
]


def packed(body: bytes, operation: int = 2013, length: int | None = None, id_: int = 1) -> bytes:
    return struct.pack("<iiii", 16 + len(body) if length is None else length, id_, 0, operation) + body


def message(command, flags=0) -> bytes:
    return packed(struct.pack("<IB", flags, 0) + bson.encode({**command, "$db": "kept"}))


def fuzzed(rng):
    """One message: fields left out, of other types, or bytes changed, cut off or of another length than promised."""
    command = dict(rng.choice(COMMANDS))
    for _ in range(rng.randrange(3)):
        field = rng.choice(list(command))
        if rng.random() < 0.4 and len(command) > 1:
            command.pop(field)
        else:
            command[field] = rng.choice(ODD)
    try:
        sent = bytearray(message(command))
    except (bson.errors.BSONError, OverflowError):
        return packed(b"\0")
    how = rng.randrange(6)
    if how == 0:
        for _ in range(rng.randrange(1, 6)):
            sent[rng.randrange(len(sent))] = rng.randrange(256)
    elif how == 1:
        del sent[rng.randrange(16, len(sent)) :]
    elif how == 2:
        sent[0:4] = struct.pack("<i", rng.choice([-1, 0, 15, 16, 17, 2**31 - 1, 49_000_000, len(sent) + 5]))
    elif how == 3:
        sent[12:16] = struct.pack("<i", rng.choice([1, 2001, 2002, 2004, 2005, 2006, 2007, 2010, 2011, 2012, -5]))
    return bytes(sent)


def resident_mb(pid):
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ServerProcess(tmp_path_factory.mktemp("d")) as server:
        yield server


def ask(server, sent):
    """Send bytes, read whatever comes back until the server has said something or hung up."""
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(10)
        raw.connect(read_state(server.folder).socket)
        try:
            raw.sendall(sent)
            raw.shutdown(socket.SHUT_WR)
            return raw.recv(65536)
        except (BrokenPipeError, ConnectionResetError):
            return b""


@pytest.mark.slow
def test_a_thousand_odd_messages_end_nothing_but_their_connections(server):
    rng = random.Random(11)
    for _ in range(1000):
        ask(server, fuzzed(rng))
    with server.client() as client:
        assert client.admin.command("ping")["ok"] == 1
        client.kept.after.insert_one({"_id": 1})
        assert client.kept.after.count_documents({}) == 1
    assert server.process.poll() is None
    assert resident_mb(server.process.pid) < 300


@pytest.mark.slow
def test_promised_bytes_take_no_memory(server):
    before, peers = resident_mb(server.process.pid), []
    for _ in range(40):
        peers.append(socket.socket(socket.AF_UNIX))
        peers[-1].connect(read_state(server.folder).socket)
        peers[-1].sendall(struct.pack("<iiii", 49_000_000, 1, 0, 2013) + b"x" * 100)
    with server.client() as client:
        assert client.admin.command("ping")["ok"] == 1
    assert resident_mb(server.process.pid) - before < 100
    for peer in peers:
        peer.close()


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: next(iter(command)))
def test_a_missing_or_odd_field_is_an_answered_error(server, command):
    for field in list(command)[1:]:
        less = {name: value for name, value in command.items() if name != field}
        for changed in (less, *({**command, field: odd} for odd in ODD)):
            answer = ask(server, message(changed))
            assert len(answer) > 21, changed
            reply = bson.decode(answer[21:])
            assert reply.get("code") != 8, (changed, reply)  # a defect of ours


@pytest.mark.slow
def test_a_document_nested_too_deep_is_refused_and_a_message_closes_its_connection(server):
    deep = {"a": 1}
    for _ in range(MAX_DEPTH):
        deep = {"a": deep}
    with server.client() as client:
        with pytest.raises(OperationFailure, match="nested more than 180 deep"):
            client.kept.deep.insert_one(deep)
        client.kept.deep.insert_one({"_id": 1, "a": deep["a"]["a"]})
        with pytest.raises(OperationFailure, match="nested more than 180 deep"):
            client.kept.deep.update_one({"_id": 1}, {"$set": {"a": deep}})
        raw = b"\x05\0\0\0\0"
        for _ in range(50_000):
            raw = struct.pack("<i", len(raw) + 8) + b"\x03a\0" + raw + b"\0"
            if len(raw) > 400_000:
                break
        assert ask(server, packed(struct.pack("<IB", 0, 0) + raw)) == b""
        assert client.kept.deep.count_documents({}) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [
        {"s": {"$regex": "^(a+)+$"}},
        {"s": {"$regex": "(a|aa)+$"}},
        {"s": {"$regex": "(a?){30}a{30}"}},
        {"s": {"$regex": "a?" * 30 + "a" * 30}},
        {"s": Regex("(a*)*b")},
        {"s": {"$in": [Regex("(a*)*b")]}},
        {"s": {"$not": {"$regex": ".*.*.*.*b"}}},
        {"$expr": {"$regexMatch": {"input": "$s", "regex": "(a+)+$"}}},
        {"s": {"$regex": "(a)\\1+b"}},
        {"s": {"$regex": "x" * 501}},
        {"$where": "while(true){}"},
        {"$expr": {"$function": {"body": "x", "args": [], "lang": "js"}}},
        {"s": {"$regex": "("}},
    ],
    ids=lambda query: str(query)[:40],
)
def test_patterns_that_take_for_ever_and_program_texts_are_refused(server, query):
    with server.client() as client:
        client.kept.texts.replace_one({"_id": 1}, {"_id": 1, "s": "a" * 40 + "!"}, upsert=True)
        before = time.monotonic()
        with pytest.raises(OperationFailure):
            list(client.kept.texts.find(query))
        with pytest.raises(OperationFailure):
            list(client.kept.texts.aggregate([{"$match": query}]))
        with pytest.raises(OperationFailure):
            client.kept.texts.update_many(query, {"$set": {"x": 1}})
        assert time.monotonic() - before < 30


@pytest.mark.parametrize(
    "pattern", ["^NAME[12]$", "2026-11-28", ".*x", "(ab){3}", "(a|b)c", r"\(a+\)+", "[(*+]+x", "(?i)abc", "", "x|y"]
)
def test_patterns_of_every_day_are_quick(pattern):
    assert slow(pattern) == ""


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        struct.pack("<iiii", 16, 1, 0, 2013),
        struct.pack("<iiii", -1, 1, 0, 2013),
        packed(b"", 2004),
        packed(b"\0\0\0\0kept.$cmd\0", 2004),
        packed(b"\0\0\0\0kept.$cmd\0" + struct.pack("<iii", 0, -1, -9), 2004),
        packed(b"\0\0\0\0kept.$cmd\0" + struct.pack("<ii", 0, -1) + bson.encode({"$query": 5}), 2004),
        packed(b"\0\0\0\0kept.$cmd\0" + struct.pack("<ii", 0, -1) + bson.encode({}), 2004),
        packed(struct.pack("<IB", 0, 0) + bson.encode({"ping": 1, "$db": 7})),
        packed(struct.pack("<IB", 0, 0) + bson.encode({})),
        packed(struct.pack("<IB", 0, 1) + struct.pack("<i", 9) + b"abcde"),
        packed(struct.pack("<IB", 1, 0) + bson.encode({"ping": 1})[:-1]),
        packed(struct.pack("<I", 1)),
        packed(b"\xff\xff"),
    ],
)
def test_a_message_that_is_none_is_a_protocol_error(sent):
    left = bytearray(sent)

    def receive(size):
        if len(left) < size:
            raise EOFError
        piece = bytes(left[:size])
        del left[:size]
        return piece

    with pytest.raises((ProtocolError, EOFError)):
        read_message(receive)
