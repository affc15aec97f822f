"""Aggregation pipelines: the stages that FireWorks and its `lpad` ask for. Finding and writing: reads, writes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from mongomock.aggregate import process_pipeline

from crystalloop.db.embedded.commands.shape import ordered
from crystalloop.db.embedded.engine.collection import Collection
from crystalloop.db.embedded.engine.index import predicate
from crystalloop.db.embedded.engine.values import BsonDocument, Code, CommandError, canonical, path_values, sort_key


def date_from_string(options: dict[str, Any], evaluate: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """The date that a string in ISO 8601 names, as naive UTC; or what `onError` says.

    Raises:
        CommandError: not a date, and no `onError`; or an option that this server does not have.
    """
    unknown = set(options) - {"dateString", "onError"}
    if unknown:
        raise CommandError(Code.NotImplemented, f"$dateFromString has no {', '.join(sorted(unknown))} here")
    text = evaluate(options["dateString"])
    try:
        date = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        if "onError" in options:
            return evaluate(options["onError"])
        raise CommandError(Code.BadValue, f"{text!r} is not a date in ISO 8601") from error
    return date.astimezone(UTC).replace(tzinfo=None) if date.tzinfo else date


Lookup = Callable[[str], Collection | None]
PipelineStage = Callable[[list[BsonDocument], Any, Lookup], list[BsonDocument]]
MISSING = object()


def run_pipeline(
    documents: Iterable[BsonDocument], stages: Sequence[BsonDocument], lookup: Lookup
) -> list[BsonDocument]:
    """Pass documents through the stages.

    Args:
        documents: where it starts; not changed.
        stages: objects with one field each.
        lookup: the collection of a name in the same database, for $lookup.

    Raises:
        CommandError: a stage that this server does not have, or that is malformed.
    """
    found = list(documents)
    for stage in stages:
        if not isinstance(stage, dict) or len(stage) != 1:
            raise CommandError(Code.FailedToParse, f"a pipeline stage is an object with one field, not {stage!r}")
        ((name, options),) = stage.items()
        if name not in PIPELINE_STAGES:
            raise CommandError(Code.NotImplemented, f"this server has no aggregation stage {name}")
        found = PIPELINE_STAGES[name](found, options, lookup)
    return found


def evaluate(expression: Any, document: BsonDocument) -> Any:  # noqa: ANN401
    """The value of an expression, or MISSING."""
    if not isinstance(expression, str | dict | list):
        return expression
    if isinstance(expression, str) and not expression.startswith("$"):
        return expression
    if isinstance(expression, dict) and set(expression) == {"$dateFromString"}:
        return date_from_string(expression["$dateFromString"], lambda part: evaluate(part, document))
    if not expression:
        return expression
    (made,) = process_pipeline([document], None, [{"$project": {"_id": 0, "value": expression}}], None)
    return made.get("value", MISSING)


def _match(documents: list[BsonDocument], options: Any, _: Lookup) -> list[BsonDocument]:  # noqa: ANN401
    matches = predicate(options)
    return documents if matches is None else list(filter(matches, documents))


def _sort(documents: list[BsonDocument], options: Any, _: Lookup) -> list[BsonDocument]:  # noqa: ANN401
    return ordered(documents, options)


def _count(documents: list[BsonDocument], options: Any, _: Lookup) -> list[BsonDocument]:  # noqa: ANN401
    return [{options: len(documents)}] if documents else []


def _lookup(documents: list[BsonDocument], options: Any, lookup: Lookup) -> list[BsonDocument]:  # noqa: ANN401
    if set(options) != {"from", "localField", "foreignField", "as"} or "." in options["as"]:
        raise CommandError(Code.NotImplemented, f"this server has only the equality $lookup, not {options!r}")
    foreign = lookup(options["from"])
    local = options["localField"].split(".")
    joined = []
    for document in documents:
        values = path_values(document, local) or [None]
        query = {options["foreignField"]: {"$in": values} if len(values) > 1 else {"$eq": values[0]}}
        matches = [] if foreign is None else [entry.document for entry in foreign.matching(query)]
        joined.append({**document, options["as"]: matches})
    return joined


def _group(documents: list[BsonDocument], options: Any, _: Lookup) -> list[BsonDocument]:  # noqa: ANN401
    fields = dict(options)
    if "_id" not in fields:
        raise CommandError(Code.FailedToParse, "$group needs an _id")
    by = fields.pop("_id")
    groups: dict[Hashable, tuple[Any, list[BsonDocument]]] = {}
    for document in documents:
        value = evaluate(by, document)
        value = None if value is MISSING else value
        groups.setdefault(canonical(value), (value, []))[1].append(document)
    return [
        {"_id": value, **{name: _accumulate(name, rule, members) for name, rule in fields.items()}}
        for value, members in groups.values()
    ]


def _accumulate(name: str, rule: Any, documents: list[BsonDocument]) -> Any:  # noqa: ANN401
    if not isinstance(rule, dict) or len(rule) != 1 or next(iter(rule)) not in ACCUMULATORS:
        raise CommandError(Code.NotImplemented, f"this server cannot accumulate {name}: {rule!r}")
    ((operator, expression),) = rule.items()
    return ACCUMULATORS[operator]([evaluate(expression, document) for document in documents])


def _present(values: list[Any]) -> list[Any]:
    return [value for value in values if value is not MISSING]


def _distinct(values: list[Any]) -> list[Any]:
    return list({canonical(value): value for value in reversed(_present(values))}.values())[::-1]


def _numbers(values: list[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]


def _mean(values: list[Any]) -> float | None:
    numbers = _numbers(values)
    return sum(numbers) / len(numbers) if numbers else None


def _extreme(choose: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    """The least or greatest value that is not null, in the order of sorting; null where there is none."""

    def chosen(values: list[Any]) -> Any:  # noqa: ANN401
        present = [value for value in _present(values) if value is not None]
        return choose(present, key=lambda value: sort_key({"": value}, "", 1), default=None)

    return chosen


ACCUMULATORS: dict[str, Callable[[list[Any]], Any]] = {
    "$sum": lambda values: sum(_numbers(values)),
    "$avg": _mean,
    "$min": _extreme(min),
    "$max": _extreme(max),
    "$first": lambda values: None if values[0] is MISSING else values[0],
    "$push": _present,
    "$addToSet": _distinct,
}


def _add_fields(documents: list[BsonDocument], options: Any, _: Lookup) -> list[BsonDocument]:  # noqa: ANN401
    return [_with_fields(document, options) for document in documents]


def _with_fields(document: BsonDocument, fields: BsonDocument) -> BsonDocument:
    extended = dict(document)
    for path, expression in fields.items():
        value = evaluate(expression, document)
        if value is MISSING:
            continue
        target = extended
        *parents, last = path.split(".")
        for part in parents:
            inner = target.get(part)
            target[part] = dict(inner) if isinstance(inner, dict) else {}
            target = target[part]
        target[last] = value
    return extended


def _mongomock(name: str) -> PipelineStage:
    def stage(documents: list[BsonDocument], options: Any, _: Lookup) -> list[BsonDocument]:  # noqa: ANN401
        return list(process_pipeline(documents, None, [{name: options}], None))

    return stage


PIPELINE_STAGES: dict[str, PipelineStage] = {
    "$match": _match,
    "$sort": _sort,
    "$skip": lambda documents, count, _: documents[count:],
    "$limit": lambda documents, count, _: documents[:count],
    "$count": _count,
    "$lookup": _lookup,
    "$group": _group,
    "$addFields": _add_fields,
    "$set": _add_fields,
    "$project": _mongomock("$project"),
    "$unwind": _mongomock("$unwind"),
    "$replaceRoot": _mongomock("$replaceRoot"),
}
