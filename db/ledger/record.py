"""Record: what every document of the database is. The documents themselves: records and campaigns. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A stored document: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[1] = 1

    def to_document(self) -> dict[str, Any]:
        """Plain dictionary as MongoDB stores it: enums as strings, tuples as lists, datetimes kept."""
        return {"_id" if name == "id" else name: _bsonable(value) for name, value in self.model_dump().items()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Inverse of `to_document`; raises pydantic.ValidationError for another shape, as of a newer schema_version."""
        return cls.model_validate({"id" if name == "_id" else name: value for name, value in document.items()})


def _bsonable(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _bsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_bsonable(item) for item in value]
    return str(value) if isinstance(value, StrEnum) else value
