"""A condition on candidates as a MongoDB filter. Pure; nothing is asked here."""

from __future__ import annotations

from typing import Any

from crystalloop.db.query.conditions import Among, Between, Compared, Condition, Not

MongoFilter = dict[str, Any]
_COMPARED = {"=": "$eq", "!=": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}


def filter_of(condition: Condition) -> MongoFilter:
    """The filter document of a tree."""
    match condition:
        case Compared(field, _, sign, value):
            return {field.path: {_COMPARED[sign]: value}}
        case Among(field, _, values):
            return {field.path: {"$in": list(values)}}
        case Between(field, _, low, high):
            return {field.path: {"$gte": low, "$lte": high}}
        case Not(Among(field, _, values)):
            return {field.path: {"$nin": list(values)}}
        case Not(inner):
            return {"$nor": [filter_of(inner)]}
        case _:
            return {f"${condition.word}": [filter_of(part) for part in condition.parts]} if condition.parts else {}
