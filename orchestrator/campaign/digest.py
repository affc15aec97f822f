"""What of a campaign decides its candidates, as a digest that stays what it was while keys are added. The keys: spec, sections."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from crystalloop.orchestrator.campaign.part import part_of

_FREE = """
    budget rounds stop laboratory ray database folder dft.slots dft.pw_command dft.scratch dft.pseudos dft.lease_s
    surrogate.pause_at_drift"""
"""What may change on resume: budgets, rounds, slots, machines, and what pauses a campaign."""
_ALWAYS = """
    name elements prototypes bases target data voxels networks generate dft seed
    target.property target.minimum target.maximum target.direction data.path data.limit data.bad_rows data.where
    voxels.n voxels.width_scale networks.preset networks.unet networks.vae networks.cgcnn networks.steps
    networks.warm_share networks.minimum_labels generate.per_round generate.random generate.around generate.between
    generate.scale generate.max_atoms dft.preset dft.settings dft.per_round dft.reject_above_e_f"""
"""The keys of version 0.2.0, in every digest; a later one counts where it is not at its default."""


def digest_of(spec: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Digest of a specification, as `Campaign.spec` gives it, of a model of its keys."""
    return hashlib.sha256(json.dumps(_deciding(spec, model), sort_keys=True).encode()).hexdigest()


def says_the_same(one: Mapping[str, Any], other: Mapping[str, Any], model: type[BaseModel]) -> bool:
    """Whether two specifications decide the same candidates, were numbers and true and false written as texts or not."""
    return bool(_plain(_deciding(one, model)) == _plain(_deciding(other, model)))


def _deciding(spec: Mapping[str, Any], model: type[BaseModel], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in spec.items():
        name = f"{path}{key}"
        field = model.model_fields.get(key)
        if name in _FREE.split() or (name not in _ALWAYS.split() and _is_default(value, field)):
            continue
        part = None if field is None else part_of(field.annotation)
        if part is not None and isinstance(value, Mapping):
            inner = _deciding(value, part, f"{name}.")
            if inner or name in _ALWAYS.split():  # of a section of which nothing decides, no trace
                found[key] = inner
        elif part is not None and isinstance(value, list):
            found[key] = [_deciding(one, part, f"{name}.") if isinstance(one, Mapping) else one for one in value]
        else:
            found[key] = value
    return found


def _is_default(value: object, field: FieldInfo | None) -> bool:
    if field is None or field.is_required():
        return False
    return bool(value == to_jsonable_python(field.get_default(call_default_factory=True)))


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Values as they are meant: earlier versions kept 1e-4 as a text, and yes as true."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, str):
        if value.casefold() in {"true", "yes", "on", "false", "no", "off"}:
            return value.casefold() in {"true", "yes", "on"}
        try:
            return float(value)
        except ValueError:
            return value
    return value
