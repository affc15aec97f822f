"""A campaign file -> Campaign; every problem with its key, value and bound. What may stand in the file: spec, sections."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from crystalloop.orchestrator.campaign.spec import Campaign, ConfigError


def read_campaign(path: Path) -> Campaign:
    """Read and check a campaign file; relative paths in it are taken from the file's folder.

    Raises:
        ConfigError: missing, not YAML, an unknown key (the nearest known one is named), a value out of bounds.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); `ls campaigns` shows the ready ones") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not a text file (byte {error.start} is not UTF-8); name a campaign's YAML file"
        ) from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: not valid YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: holds {type(content).__name__}, not a table of keys; see campaigns/first.yaml")
    try:
        campaign = Campaign.model_validate(dict(content))
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in _problems(error))) from error
    files = tuple(file.model_copy(update={"path": path.parent / file.path}) for file in campaign.data)
    return campaign.model_copy(update={"data": files})


def _problems(error: ValidationError) -> list[str]:
    """One line per problem: key, value, what is wrong, and the nearest known key."""
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "campaign"
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown key {where!r}{_nearest(problem['loc'])}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            given = problem["input"]
            value = "" if isinstance(given, Mapping) or problem["type"] == "missing" else f" (given: {given!r})"
            lines.append(f"{where}: {message}{value}")
    return lines


def _nearest(location: tuple[int | str, ...]) -> str:
    """The known key nearest to the last one of a location, as the end of a sentence."""
    model: type[BaseModel] | None = Campaign
    for part in location[:-1]:
        if isinstance(part, str) and model is not None and part in model.model_fields:
            model = _part_of(model.model_fields[part].annotation)
    known = list(model.model_fields) if model is not None else []
    near = get_close_matches(str(location[-1]), known, 1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known keys here: {', '.join(known)}"


def _part_of(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = [found for found in map(_part_of, getattr(annotation, "__args__", ())) if found is not None]
    return inner[0] if inner else None
