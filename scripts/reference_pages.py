"""Writes docs/reference/: every key of a campaign file, and the Python names meant for users. No prose of its own.

`python scripts/reference_pages.py` writes, `--check` only says whether the pages are up to date.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, fields
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from crystalloop.dft.recipe.settings import preset
from crystalloop.models.nets import configs
from crystalloop.orchestrator.campaign.spec import Campaign

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
PRESETS = ("test", "fast", "paper")
NETWORKS = {"unet": configs.UNetConfig, "vae": configs.VAEConfig, "cgcnn": configs.CGCNNConfig}
MEASURED = {"mean", "scale", "labels", "error", "factor", "decile_edges_ev", "property_mean", "property_scale"}
"""Fields of network configurations that a training fills in."""

PUBLIC: dict[str, tuple[str, ...]] = {
    "crystalloop.models.crystals.crystal": ("Crystal",),
    "crystalloop.models.crystals.prototypes": ("Prototype",),
    "crystalloop.models.crystals.structures": ("decorate", "match_prototype"),
    "crystalloop.models.data.files": ("read_crystals",),
    "crystalloop.models.data.corpus": ("Corpus", "read_corpus"),
    "crystalloop.models.draw.target": ("Range", "Target"),
    "crystalloop.models.draw.proposal": ("Proposal",),
    "crystalloop.models.generate.base": ("DrawRequest", "Generator"),
    "crystalloop.models.learn.engine": ("Engine",),
    "crystalloop.models.maps.voxels": ("VoxelConfig", "voxelize_batch", "lattice_from_coordinates"),
    "crystalloop.dft.recipe.settings": ("PwSettings", "preset"),
    "crystalloop.dft.recipe.pseudos": ("PseudoTable",),
    "crystalloop.dft.pw.launch": ("Launcher",),
    "crystalloop.dft.relax.relax": ("relax",),
    "crystalloop.dft.oracles.base": ("Job", "Oracle"),
    "crystalloop.db.ledger.store": ("Store",),
    "crystalloop.db.ledger.records": ("Candidate", "Relaxation", "ModelVersion"),
    "crystalloop.orchestrator.campaign.spec": ("Campaign",),
    "crystalloop.orchestrator.campaign.read": ("read_campaign",),
    "crystalloop.orchestrator.acquire.base": ("Acquirer", "History"),
}
"""What stays under its name and place from one minor version to the next. None of it imports Keras or Ray."""


def campaign_page() -> str:
    """Every key that a campaign file may have."""
    lines = [
        "# Keys of a campaign file",
        "",
        "Made by `scripts/reference_pages.py` from the types that read the file. Unknown keys are refused with the nearest",
        "known one. `crystalloop schema` prints the same as a JSON schema, for editors.",
        "",
        *_section("", Campaign),
    ]
    lines += ["## dft.settings", "", "Single fields over the preset; the unit is in the name.", ""]
    lines += _presets()
    for name, config in NETWORKS.items():
        lines += ["", f"## networks.{name}", "", *_config(config)]
    return "\n".join(lines) + "\n"


def _section(path: str, model: type[BaseModel]) -> list[str]:
    """The table of a section, and those of the sections inside it."""
    lines = [f"## {path}", ""] if path else []
    if path and model.__doc__:
        lines += [_first_sentence(model.__doc__), ""]
    lines += ["| key | type | default | what |", "|---|---|---|---|"]
    inner = []
    for name, field in model.model_fields.items():
        part = _part(field.annotation)
        key = f"{path}.{name}" if path else name
        kind = f"[section](#{key.replace('.', '')})" if part else f"`{_type(field)}`"
        lines.append(
            f"| `{name}` | {_cell(kind)} | {_cell(_default(field, part))} | {_cell(field.description or '')} |"
        )
        if part:
            inner += _section(key, part)
    return [*lines, "", *inner]


def _part(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401  (an annotation is any object)
    """The section that a key holds: itself, or the members of a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((part for part in map(_part, typing.get_args(annotation)) if part), None)


def _type(field: FieldInfo) -> str:
    """The type as a reader writes it, with its bounds."""
    bounds = {type(item).__name__.lower(): item for item in field.metadata}
    text = _type_name(field.annotation)
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    marks = [f"{sign} {_value(getattr(bounds[name], name))}" for name, sign in signs.items() if name in bounds]
    return f"{text}, {', '.join(marks)}" if marks else text


def _type_name(annotation: Any) -> str:  # noqa: ANN401  (an annotation is any object)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_name(arguments[0])
    if origin is typing.Literal:
        return " or ".join(str(value) for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_name(one) for one in arguments if one is not type(None))
    if origin in (tuple, list):
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return f"table of {_type_name(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(str(member.value) for member in annotation)
    return {"str": "text", "float": "number", "int": "whole number", "bool": "true or false", "Path": "path"}.get(
        getattr(annotation, "__name__", ""), "any"
    )


def _default(field: FieldInfo, part: type[BaseModel] | None) -> str:
    if field.default_factory is not None:
        return "" if "default" in (field.description or "") else "none"
    if field.default is PydanticUndefined:
        return "**required**"
    if part is not None or field.default is None:
        return ""
    return f"`{_value(field.default)}`"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(one)}" for key, one in value.items()) + "}"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _presets() -> Iterator[str]:
    """A row for each field of the settings of pw.x, with its value in each preset."""
    columns = [dict(_leaves(preset(name))) for name in PRESETS]
    yield f"| key | type | {' | '.join(PRESETS)} |"
    yield "|---|---|" + "---|" * len(PRESETS)
    for key, (kind, _) in columns[0].items():
        yield f"| `{key}` | {_cell(f'`{kind}`')} | " + " | ".join(f"`{_value(one[key][1])}`" for one in columns) + " |"


def _leaves(settings: BaseModel, path: str = "") -> Iterator[tuple[str, tuple[str, object]]]:
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", (_type(field), value)


def _config(config: type[Any]) -> Iterator[str]:
    """A row for each field of a network's configuration, with what its docstring says of it."""
    said = _said(config.__doc__ or "")
    yield "| key | default | what |"
    yield "|---|---|---|"
    for field in fields(config):
        if field.name not in MEASURED and field.default is not MISSING:
            yield f"| `{field.name}` | `{_value(field.default)}` | {_cell(_prose(said.get(field.name)))} |"


def _said(docstring: str) -> dict[str, str]:
    """Field -> its words under Args or Attributes; a line may describe two: `alpha, beta: weights`."""
    found: dict[str, str] = {}
    body = re.split(r"^(?:Args|Attributes):\n", inspect.cleandoc(docstring), maxsplit=1, flags=re.M)[-1]
    for names, text in re.findall(r"^ {4}([a-z_, ]+): (.*(?:\n {5,}.*)*)", body, flags=re.M):
        found |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return found


def python_page() -> str:
    """The names that users of the Python package may build on."""
    lines = [
        "# Python names",
        "",
        "Made by `scripts/reference_pages.py`. These names stay where they are from one minor version to the next; all others",
        "may move. The contracts that a file of your own may implement are in the guide.",
    ]
    for module, names in PUBLIC.items():
        lines += ["", f"## {module}"]
        for name in names:
            thing = getattr(import_module(module), name)
            lines += [
                "",
                f"### {name}",
                "",
                f"```text\n{name}{_signature(thing)}\n```",
                "",
                _first_sentence(thing.__doc__),
            ]
    return "\n".join(lines) + "\n"


def _signature(thing: Any) -> str:  # noqa: ANN401  (a class or a function)
    if inspect.isclass(thing) and (issubclass(thing, BaseModel | Enum) or getattr(thing, "_is_protocol", False)):
        return ""
    parameters = inspect.signature(thing)
    text = _plain(str(parameters))
    return text if len(text) < 100 else "(\n    " + ",\n    ".join(_arguments(parameters)) + ",\n)"


def _arguments(signature: inspect.Signature) -> list[str]:
    """One a line; a star of its own where the rest is by keyword."""
    lines, starred = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            lines.append("*")
            starred = True
        lines.append(_plain(str(parameter)))
    return lines


def _plain(text: str) -> str:
    """Without quotes round annotations, and without the addresses of functions that are defaults."""
    named = re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", text)
    return re.sub(r"<function .* at 0x[0-9a-f]+>", "...", named).replace("'", "")


def _first_sentence(docstring: str | None) -> str:
    paragraph = inspect.cleandoc(docstring or "").partition("\n\n")[0]
    return " ".join(paragraph.split())


def _prose(text: str | None) -> str:
    """Words of a docstring in a page: what looks like HTML is none, and no full stop at the end of a cell."""
    return (text or "").replace("<", "&lt;").removesuffix(".")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PAGES = {"campaign.md": campaign_page, "python.md": python_page}


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check say which are not what they would be."""
    stale = [
        name
        for name, make in PAGES.items()
        if not (REFERENCE / name).is_file() or (REFERENCE / name).read_text(encoding="utf-8") != make()
    ]
    if "--check" not in arguments:
        REFERENCE.mkdir(exist_ok=True)
        for name in stale:
            (REFERENCE / name).write_text(PAGES[name](), encoding="utf-8")
    elif stale:
        sys.stderr.write(f"{', '.join(stale)} in docs/reference: not up to date; run scripts/reference_pages.py\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
