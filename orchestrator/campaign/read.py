"""A campaign file -> Campaign; every problem with its line, key, value and bound. What may stand in the file: spec, sections."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from crystalloop.db.query.nearest import nearest_name
from crystalloop.orchestrator.campaign.part import expected, kinds_of, part_of
from crystalloop.orchestrator.campaign.spec import Campaign, ConfigError
from crystalloop.orchestrator.campaign.yaml_text import KeyPath, TextError, Written, parse_yaml, text_of

MOST_PROBLEMS = 20
MOST_SHOWN = 80
"""Characters of a wrong value that a message shows."""
SECRET = ("database", "uri")


def read_campaign(path: Path) -> Campaign:
    """Read and check a campaign file; relative paths in it are taken from the file's folder.

    Raises:
        ConfigError: missing, not YAML, a key twice, an unknown key (the nearest known one is named), a value of another
            kind or out of bounds.
    """
    written = _written(path)
    content = written.value
    if content is None:
        raise ConfigError(f"{path}: empty, or comments only; see campaigns/first.yaml for what a campaign says")
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: holds {_kind(content)}, not a table of keys; see campaigns/first.yaml")
    try:
        campaign = Campaign.model_validate(_as_texts(content, Campaign, (), written, path))
    except ValidationError as error:
        raise ConfigError("\n".join(_problems(error, path, written))) from error
    files = tuple(file.model_copy(update={"path": path.parent / file.path}) for file in campaign.data)
    hull, laboratory = campaign.hull.placed(path.parent), campaign.laboratory.placed(path.parent)
    return campaign.model_copy(update={"data": files, "hull": hull, "laboratory": laboratory})


def _written(path: Path) -> Written:
    try:
        return parse_yaml(text_of(path))
    except IsADirectoryError as error:
        raise ConfigError(f"{path}: a folder; name a campaign's YAML file") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); `ls campaigns` shows the ready ones") from error
    except TextError as error:
        where = f" line {error.line}" if error.line else ""
        raise ConfigError(f"{path}{where}: {error}") from error


def _as_texts(
    table: Mapping[str, Any], model: type[BaseModel], place: KeyPath, written: Written, path: Path
) -> dict[str, Any]:
    """The table with numbers as they are written where a key takes texts, such as `name: 123`."""
    made = dict(table)
    for key, value in table.items():
        if (field := model.model_fields.get(key)) is not None:
            made[key] = _as_text(value, field, (*place, key), written, path)
    return made


def _as_text(value: Any, field: FieldInfo, place: KeyPath, written: Written, path: Path) -> Any:  # noqa: ANN401
    part = part_of(field.annotation)
    kinds = kinds_of(field.annotation) - {type(None)}
    if part is not None:
        if isinstance(value, Mapping):
            return _as_texts(value, part, place, written, path)
        if isinstance(value, list):
            return [_as_text(one, field, (*place, number), written, path) for number, one in enumerate(value)]
        return value
    if kinds == {Path} and written.texts.get(place) == "~":
        raise ConfigError(
            f"{path} line {written.line_of(place)}: {_dotted(place)}: ~ alone is `null` in YAML; "
            "write ~/FOLDER for a folder of your home, or leave the key out for its default"
        )
    if not kinds <= {str, Path}:
        return value
    if isinstance(value, list):
        return [_as_text(one, field, (*place, number), written, path) for number, one in enumerate(value)]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return written.texts.get(place, str(value)) if is_number else value


def _problems(error: ValidationError, path: Path, written: Written) -> list[str]:
    """One line per problem: place, key, value, what is wrong, and the nearest known key."""
    found = error.errors(include_url=False)
    lines = [_problem(problem, path, written) for problem in found[:MOST_PROBLEMS]]
    return lines if len(found) <= MOST_PROBLEMS else [*lines, f"{path}: and {len(found) - MOST_PROBLEMS} more"]


def _problem(problem: Any, path: Path, written: Written) -> str:  # noqa: ANN401  (pydantic's own dictionary)
    location: KeyPath = problem["loc"]
    message = problem["msg"].removeprefix("Value error, ")
    key, colon, rest = message.partition(": ")
    if not location and colon and key in Campaign.model_fields:  # what several keys together say, told at one of them
        location, message = (key,), rest
    line = written.line_of(location)
    start = f"{path} line {line}" if line and location else f"{path}"
    if problem["type"] == "extra_forbidden":
        return f"{start}: unknown key {_dotted(location)!r}{_nearest(location)}"
    if location[:1] == ("data",) and problem["type"] in {"tuple_type", "model_type"}:
        message = "files stand in a list, each with its path: [{path: crystals.jsonl}]"
    elif location == ("name",) and problem["type"] == "string_pattern_mismatch":
        message = "a name has small letters, digits, - and _, at most 40, and begins with a letter or a digit"
    given = problem["input"]
    field = _field_at(location)
    ending = ""
    if problem["type"] != "missing" and not isinstance(given, Mapping) and location != SECRET:
        ending += f" (given: {_shown(given)})"
    if problem["type"] not in {"value_error", "literal_error"} and field is not None and (takes := expected(field)):
        ending += f"; it takes {takes}"
    if given is None and problem["type"] != "missing" and field is not None and not field.is_required():
        ending += "; leave the key out for its default"
    elif isinstance(given, bool) and problem["type"] == "string_type":
        ending += "; in quotes it is a text"
    return f"{start}: {_dotted(location) or 'campaign'}: {message}{ending}"


def _kind(value: object) -> str:
    return {list: "list", str: "text", bool: "true or false"}.get(type(value), "a number")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


def _dotted(place: KeyPath) -> str:
    return _shown(".".join(str(part) for part in place))[1:-1]


def _field_at(location: KeyPath) -> FieldInfo | None:
    """The key that a problem is about, where it is one of a known section."""
    names = [part for part in location if isinstance(part, str)]
    model: type[BaseModel] | None = Campaign
    field = None
    for name in names:
        field = None if model is None else model.model_fields.get(name)
        model = None if field is None else part_of(field.annotation)
    return field


def _nearest(location: KeyPath) -> str:
    """The known key nearest to the last one of a location, as the end of a sentence."""
    model: type[BaseModel] | None = Campaign
    for part in location[:-1]:
        if isinstance(part, str) and model is not None and part in model.model_fields:
            model = part_of(model.model_fields[part].annotation)
    known = list(model.model_fields) if model is not None else []
    near = nearest_name(str(location[-1]), known)
    return f"; did you mean {near!r}?" if near else f"; known keys here: {', '.join(known)}"
