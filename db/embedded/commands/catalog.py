"""The commands about collections, indexes and databases themselves."""

from __future__ import annotations

import bson
from mongomock.filtering import filter_applies

from crystalloop.db.embedded.commands.request import CommandRequest, Reply
from crystalloop.db.embedded.engine.collection import Collection
from crystalloop.db.embedded.engine.index import Index
from crystalloop.db.embedded.engine.values import BsonDocument, Code, CommandError

OK: Reply = {"ok": 1.0}


def create(request: CommandRequest) -> Reply:
    """Create an empty collection; options other than a name are refused."""
    request.only()
    if request.found() is not None:
        raise CommandError(Code.NamespaceExists, f"collection {request.namespace} already exists")
    request.engine.ensure(request.database, request.target)
    return OK


def drop(request: CommandRequest) -> Reply:
    """Drop a collection; one that does not exist is no error."""
    request.only()
    collection = request.found()
    if collection is not None:
        request.engine.drop(collection)
    return OK


def drop_database(request: CommandRequest) -> Reply:
    """Drop every collection of the database."""
    for collection in request.engine.collections(request.database):
        request.engine.drop(collection)
    return {"dropped": request.database, **OK}


def rename_collection(request: CommandRequest) -> Reply:
    """Rename a collection, by full names."""
    request.only("to", "dropTarget")
    engine = request.engine
    source = engine.find(*_split(request.body["renameCollection"]))
    if source is None:
        raise CommandError(Code.NamespaceNotFound, f"no collection {request.body['renameCollection']}")
    target = engine.find(*_split(request.body["to"]))
    if target is not None and target is not source and request.body.get("dropTarget"):
        engine.drop(target)
    engine.rename(source, *_split(request.body["to"]))
    return OK


def list_collections(request: CommandRequest) -> Reply:
    """The collections of the database."""
    request.only("filter", "cursor")
    rows: list[BsonDocument] = [
        {"name": collection.name, "type": "collection", "options": {}, "info": {"readOnly": False}}
        for collection in request.engine.collections(request.database)
    ]
    query = request.document("filter")
    found = [bson.encode(row) for row in rows if filter_applies(query, row)]
    return request.engine.cursors.open(f"{request.database}.$cmd.listCollections", found, len(found) + 1)


def list_databases(request: CommandRequest) -> Reply:
    """The databases that have a collection."""
    names = request.engine.databases()
    return {"databases": [{"name": name, "sizeOnDisk": 0, "empty": False} for name in names], "totalSize": 0, **OK}


def create_indexes(request: CommandRequest) -> Reply:
    """Build indexes; one that exists with the same options is left alone."""
    request.only("indexes")
    created = request.found() is None
    collection = request.engine.ensure(request.database, request.target)
    before = len(collection.indexes) + 1
    for spec in request.documents("indexes"):
        _build(collection, spec)
    after = len(collection.indexes) + 1
    return {
        "numIndexesBefore": before,
        "numIndexesAfter": after,
        "createdCollectionAutomatically": created,
        **OK,
    }


def list_indexes(request: CommandRequest) -> Reply:
    """The indexes of a collection."""
    collection = _existing(request)
    rows = [{"v": 2, "key": {"_id": 1}, "name": "_id_"}, *(index.spec for index in collection.indexes.values())]
    return request.engine.cursors.open(request.namespace, map(bson.encode, rows), len(rows) + 1)


def drop_indexes(request: CommandRequest) -> Reply:
    """Drop indexes by name, by key, or all of them with `*`."""
    request.only("index")
    collection = _existing(request)
    before = len(collection.indexes) + 1
    wanted = request.body.get("index")
    if isinstance(wanted, dict):
        wanted = [
            name
            for name, index in collection.indexes.items()
            if list(index.spec["key"].items()) == list(wanted.items())
        ]
        if not wanted:
            raise CommandError(Code.IndexNotFound, f"no index with key {request.body['index']}")
    names = list(collection.indexes) if wanted == "*" else [wanted] if isinstance(wanted, str) else list(wanted or ())
    for name in names:
        collection.drop_index(name)
    return {"nIndexesWas": before, **OK}


def _build(collection: Collection, spec: BsonDocument) -> None:
    index = Index(spec)
    if list(index.spec["key"].items()) == [("_id", 1)]:
        return
    for existing in collection.indexes.values():
        same_key = list(existing.spec["key"].items()) == list(index.spec["key"].items())
        if existing.spec == index.spec and same_key:
            return
        if existing.name == index.name:
            raise CommandError(Code.IndexKeySpecsConflict, f"index {index.name} exists with other options")
        if same_key:
            raise CommandError(Code.IndexOptionsConflict, f"the same index exists under the name {existing.name}")
    collection.add_index(index)


def _existing(request: CommandRequest) -> Collection:
    collection = request.found()
    if collection is None:
        raise CommandError(Code.NamespaceNotFound, f"ns does not exist: {request.namespace}")
    return collection


def _split(namespace: str) -> tuple[str, str]:
    database, _, name = namespace.partition(".")
    return database, name
