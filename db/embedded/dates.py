"""The $dateFromString expression, which mongomock does not have. Nothing else about dates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from crystalloop.db.embedded.errors import Code, CommandError


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
