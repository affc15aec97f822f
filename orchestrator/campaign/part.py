"""Part: a section of a campaign file, and what each kind of key takes: numbers, paths, texts. The sections: sections, spec."""

from __future__ import annotations

import re
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from crystalloop.dft.recipe.user_paths import user_path

_NUMBERS = frozenset({int, float})
_CLEAN = re.compile(r"\s*[-+]?(0|[1-9]\d*|(?=\.))(\.\d*)?([eE][-+]?\d+)?\s*")


class Part(BaseModel):
    """A section of the campaign file: frozen, unknown keys refused; paths as users write them, numbers that are numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: object, info: ValidationInfo) -> object:
        return as_meant(value, kinds_of(cls.model_fields[str(info.field_name)].annotation))


def as_meant(value: object, kinds: frozenset[type]) -> object:
    """A value for a key that takes these kinds: a text is a path where paths stand, and true is no number.

    Raises:
        ValueError: true, false or a text of two readings where a number is wanted; a path that is none.
    """
    if Path in kinds and isinstance(value, str):
        if value.strip() == "":
            raise ValueError("an empty path; leave the key out for its default")
        return user_path(value)
    if kinds & _NUMBERS and Any not in kinds:
        for one in _leaves(value):
            if isinstance(one, bool) and bool not in kinds:
                raise ValueError("true and false are no numbers")
            if isinstance(one, str) and str not in kinds and not _CLEAN.fullmatch(one):
                raise ValueError(_not_a_number(one))
    return value


def _not_a_number(text: str) -> str:
    if re.fullmatch(r"[-+]?0[\d_]+", text):
        return f"{text} is {text.lstrip('-+0') or '0'} to some readers and octal to others; write it without the leading zero"
    if re.fullmatch(r"\d+(:\d+)+", text):
        return "a time of day is no number here; write it as one number, in the unit of the key"
    return "not a number; write one, without a unit"


def _leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


def kinds_of(annotation: Any) -> frozenset[type]:  # noqa: ANN401  (an annotation is any object)
    """The plain types that a value of an annotation is made of; those of table keys are left out."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return frozenset(type(one) for one in arguments)
    if origin is Annotated:
        return kinds_of(arguments[0])
    if origin is dict:
        return kinds_of(arguments[1])
    if origin in (Union, UnionType, tuple, list):
        return frozenset().union(*(kinds_of(one) for one in arguments if one is not Ellipsis))
    return frozenset({annotation})


def part_of(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401
    """The section that a key holds: itself, or each of a list; None for plain values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = [found for found in map(part_of, getattr(annotation, "__args__", ())) if found is not None]
    return inner[0] if inner else None


def expected(field: FieldInfo) -> str:
    """What a key takes, with its bounds, as the end of a sentence: `a whole number, >= 1, <= 10000`; empty for others."""
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}
    kinds = kinds_of(field.annotation) - {type(None)}
    if len(kinds) != 1 or (word := words.get(next(iter(kinds)))) is None:
        return ""
    if get_origin(field.annotation) in (tuple, list):
        word = "a list of texts in [ ]" if kinds == {str} else "a list in [ ]"
    signs = {"Gt": ">", "Ge": ">=", "Lt": "<", "Le": "<="}
    bounds = [
        f"{signs[kind]} {getattr(item, kind.lower())}"
        for item in field.metadata
        if (kind := type(item).__name__) in signs
    ]
    return ", ".join([word, *bounds])


def first_not_finite(value: object) -> float | None:
    """The first number in nested tables and lists that no key can take: nan, inf, or beyond 1e12; None without any."""
    if isinstance(value, dict | list | tuple):
        return next((bad for one in _leaves(value) if (bad := first_not_finite(one)) is not None), None)
    if isinstance(value, int | float) and not isinstance(value, bool) and (not isfinite(value) or abs(value) > 1e12):
        return float(value) if abs(value) < 1e300 or isinstance(value, float) else float("inf")
    return None
