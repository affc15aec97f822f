"""Whether a campaign's `networks` section fits the networks: fields, kinds and bounds, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from crystalloop.models.nets.configs import CGCNNConfig, UNetConfig, VAEConfig
from crystalloop.orchestrator.campaign.part import as_meant, first_not_finite, kinds_of
from crystalloop.orchestrator.campaign.spec import Campaign, ConfigError


def check_networks(campaign: Campaign) -> None:
    """Refuse overrides that no network configuration has, or takes.

    Raises:
        ConfigError: names the field, what was given, and what there is or what it takes.
    """
    networks, n = campaign.networks, campaign.voxels.n
    presets: dict[str, tuple[Any, Mapping[str, Any]]] = {
        "unet": (UNetConfig.preset(networks.preset, n), networks.unet),
        "vae": (VAEConfig.preset(networks.preset, n), networks.vae),
        "cgcnn": (CGCNNConfig.preset(networks.preset), networks.cgcnn),
    }
    for name, (base, given) in presets.items():
        hints = get_type_hints(type(base))
        values = {key: _value(f"networks.{name}.{key}", key, value, hints, base) for key, value in given.items()}
        try:
            replace(base, **values)
        except ValueError as error:
            raise ConfigError(f"networks.{name}: {error} (given: {dict(given)})") from error


def _value(where: str, key: str, value: object, hints: Mapping[str, Any], base: Any) -> object:  # noqa: ANN401
    known = [field.name for field in fields(base)]
    if key not in known:
        raise ConfigError(f"{where}: unknown field; there are {', '.join(known)}")
    if (bad := first_not_finite(value)) is not None:
        raise ConfigError(f"{where}: {bad:g} is no number that a network has (between -1e12 and 1e12)")
    try:
        return TypeAdapter(hints[key]).validate_python(as_meant(value, kinds_of(hints[key])))
    except ValidationError as error:
        raise ConfigError(f"{where}: {error.errors()[0]['msg']} (given: {value!r})") from error
    except ValueError as error:
        raise ConfigError(f"{where}: {error} (given: {value!r})") from error
