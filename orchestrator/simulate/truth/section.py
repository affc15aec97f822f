"""Which laboratory is meant: the campaign's section, a small YAML file or a table, and what was typed. Rows: read."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from crystalloop.orchestrator.campaign.choice.laboratory import LaboratorySection
from crystalloop.orchestrator.campaign.yaml_text import TextError, Written, parse_yaml, text_of
from crystalloop.orchestrator.simulate.truth.laboratory import LaboratoryError

YAML_ENDINGS = (".yaml", ".yml")


def section_of(own: LaboratorySection, file: Path | None, typed: Mapping[str, Any]) -> LaboratorySection:
    """The laboratory that is meant.

    Args:
        own: the campaign's.
        file: a YAML file with the keys of the section, at its top or under `laboratory`, which takes the section's place;
            or a table, which takes the place of its `file`.
        typed: keys that options gave; None leaves a key as it is.

    Raises:
        LaboratoryError: a key or a value that does not fit, with its line, or the option's name.
    """
    if file is not None:
        own = _read(file) if file.suffix.lower() in YAML_ENDINGS else own.model_copy(update={"file": file})
    given = {key: value for key, value in typed.items() if value not in (None, (), [])}
    if not given:
        return own
    try:
        return LaboratorySection.model_validate({**own.model_dump(), **given})
    except ValidationError as error:
        told = [
            f"--{_key(one).replace('_', '-')}: {_message(one)}" if one["loc"] else _message(one)
            for one in _found(error)
        ]
        raise LaboratoryError("\n".join(told)) from error


def _read(path: Path) -> LaboratorySection:
    try:
        written = parse_yaml(text_of(path))
    except (OSError, TextError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        line = f" line {error.line}" if isinstance(error, TextError) and error.line else ""
        raise LaboratoryError(f"{path}{line}: cannot be read: {said}") from error
    content: object = written.value
    under: tuple[str, ...] = ()
    if isinstance(content, Mapping) and set(content) == {"laboratory"}:
        content, under = content["laboratory"], ("laboratory",)
    if not isinstance(content, Mapping):
        raise LaboratoryError(
            f"{path}: holds no table of keys; write `file: crystals.jsonl` and what else the laboratory is"
        )
    try:
        section = LaboratorySection.model_validate(dict(content))
    except ValidationError as error:
        raise LaboratoryError("\n".join(_problem(path, written, under, one) for one in _found(error))) from error
    return section.placed(path.parent)


def _problem(path: Path, written: Written, under: tuple[str, ...], problem: Any) -> str:  # noqa: ANN401  (pydantic's)
    line = written.line_of((*under, *problem["loc"]))
    where = f"{path} line {line}" if line else str(path)
    if problem["type"] == "extra_forbidden":
        close = get_close_matches(_key(problem), LaboratorySection.model_fields, 1, cutoff=0.5)
        near = f"did you mean {close[0]}?" if close else f"there are {', '.join(LaboratorySection.model_fields)}"
        return f"{where}: a laboratory has no key {_key(problem)!r}; {near}"
    return f"{where}: {_message(problem)}" if not problem["loc"] else f"{where}: {_key(problem)}: {_message(problem)}"


def _found(error: ValidationError) -> list[Any]:
    return list(error.errors(include_url=False))


def _key(problem: Any) -> str:  # noqa: ANN401  (pydantic's)
    return str(problem["loc"][0]) if problem["loc"] else ""


def _message(problem: Any) -> str:  # noqa: ANN401  (pydantic's)
    message = str(problem["msg"]).removeprefix("Value error, ")
    given = "" if isinstance(problem["input"], Mapping) else f" (given: {str(problem['input'])[:60]!r})"
    return message + given
