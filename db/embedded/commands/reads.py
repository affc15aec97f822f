"""The commands that read: find, getMore, killCursors, count, distinct, aggregate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from crystalloop.db.embedded.commands.pipeline import run_pipeline
from crystalloop.db.embedded.commands.request import CommandRequest, Reply, refuse_others
from crystalloop.db.embedded.commands.shape import ordered_entries, projected
from crystalloop.db.embedded.engine.collection import Entry, encoded
from crystalloop.db.embedded.engine.values import BsonDocument, Code, CommandError, canonical, path_values


def find(request: CommandRequest) -> Reply:
    """Documents that match, sorted, cut and projected, in batches."""
    request.only("filter", "projection", "sort", "skip", "limit")
    limit = int(request.body.get("limit") or 0)
    entries = _page(request, request.document("filter"), limit)
    fields = request.document("projection")
    batch_size = request.body.get("batchSize")
    if request.body.get("singleBatch") or limit < 0:
        batch_size = abs(limit) or 1
    if not fields:
        return request.engine.cursors.open(request.namespace, (entry.raw for entry in entries), batch_size)
    chosen = [projected(entry.document, fields) for entry in entries]
    return request.engine.cursors.open(request.namespace, map(encoded, chosen), batch_size)


def get_more(request: CommandRequest) -> Reply:
    """The next batch of a cursor."""
    return request.engine.cursors.more(request.body["getMore"], request.body.get("batchSize"))


def kill_cursors(request: CommandRequest) -> Reply:
    """Forget cursors."""
    return request.engine.cursors.kill(request.body.get("cursors", ()))


def count(request: CommandRequest) -> Reply:
    """How many documents match."""
    request.only("query", "skip", "limit", "fields")
    query = request.document("query")
    collection = request.found()
    if collection is not None and not query and not request.body.get("skip") and not request.body.get("limit"):
        return {"n": len(collection), "ok": 1.0}
    return {"n": sum(1 for _ in _page(request, query, int(request.body.get("limit") or 0))), "ok": 1.0}


def distinct(request: CommandRequest) -> Reply:
    """Different values of a field, in the order of first appearance."""
    request.only("key", "query")
    parts = str(request.body["key"]).split(".")
    entries = _matching(request, request.document("query"))
    values = (value for entry in entries for value in path_values(entry.document, parts) if value != [])
    seen: dict[Any, Any] = {}
    for value in values:
        seen.setdefault(canonical(value), value)
    reply = {"values": list(seen.values()), "ok": 1.0}
    encoded(reply)  # refused where it would not fit
    return reply


def aggregate(request: CommandRequest) -> Reply:
    """Run a pipeline; a leading $match uses the indexes."""
    request.only("pipeline", "cursor")
    if not isinstance(request.body["aggregate"], str):
        raise CommandError(Code.NotImplemented, "this server aggregates over collections only")
    stages = request.documents("pipeline")
    query: BsonDocument = {}
    if stages and set(stages[0]) == {"$match"} and isinstance(stages[0]["$match"], dict):
        query, *stages = stages[0]["$match"], *stages[1:]
    documents = (entry.document for entry in _matching(request, query))
    found = run_pipeline(documents, stages, lambda name: request.engine.find(request.database, name))
    options = request.document("cursor")
    refuse_others("cursor", options, {"batchSize"})
    return request.engine.cursors.open(
        request.namespace, [encoded(document) for document in found], options.get("batchSize")
    )


def _matching(request: CommandRequest, query: BsonDocument) -> Iterable[Entry]:
    collection = request.found()
    return () if collection is None else collection.matching(query)


def _page(request: CommandRequest, query: BsonDocument, limit: int) -> Iterator[Entry]:
    """Matching entries in order, after skip and limit; read out at once, so that later writes do not show."""
    order = request.document("sort")
    entries = _matching(request, query)
    skip = int(request.body.get("skip") or 0)
    if order:
        entries = ordered_entries(entries, order)
    return iter(list(islice(entries, skip, skip + abs(limit) if limit else None)))
