"""The settings of pw.x that a campaign asks for. Light: `results` and `status` wait for what this imports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from crystalloop.db.query.nearest import nearest_name
from crystalloop.dft.recipe.settings import PwSettings, preset
from crystalloop.dft.relax.rungs import cheap_settings
from crystalloop.orchestrator.campaign.part import as_meant, first_not_finite, kinds_of, numbers_in
from crystalloop.orchestrator.campaign.spec import Campaign, ConfigError

_MOST = {
    "ecutwfc_ry": 2000.0,
    "ecutrho_ry": 20_000.0,
    "k_mesh": 200.0,
    "degauss_ry": 10.0,
    "nstep": 1e6,
    "electron_maxstep": 1e6,
}
"""Bounds beyond which a run, or even its estimate, would take all memory or never end."""


def dft_settings(campaign: Campaign) -> PwSettings:
    """The preset with the campaign's own fields over it.

    Raises:
        ConfigError: an unknown field, a value out of bounds, or a limit of the cheap rung where there is none.
    """
    base = preset(campaign.dft.preset).model_dump()
    limit = campaign.dft.reject_above_e_f
    _check_kinds(campaign.dft.settings)
    try:
        own = {"cheap_first": limit is not None, "band_gap": campaign.dft.band_gap or "none"}
        settings = PwSettings.model_validate({**base, **own, **campaign.dft.settings})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"dft.settings.{key}: {first['msg']} (given: {first['input']!r}){_known(key)}") from error
    if limit is not None and cheap_settings(settings) is None:
        raise ConfigError(
            f"dft.reject_above_e_f is {limit:g}, but there is no cheaper rung that could reject: preset "
            f"{campaign.dft.preset!r} has k points {settings.kspacing_inv_ang:g}/angstrom apart, cheap_first is "
            f"{settings.cheap_first}; take preset fast or paper, leave out cheap_first: false, or leave out the limit"
        )
    return settings


def _check_kinds(given: Mapping[str, Any]) -> None:
    """Refuse what pydantic alone would take: true for a number, numbers that no setting has.

    Raises:
        ConfigError: names the field and what was given.
    """
    for key, value in given.items():
        if (bad := first_not_finite(value)) is not None:
            raise ConfigError(f"dft.settings.{key}: {bad:g} is no number that pw.x takes (between -1e12 and 1e12)")
        if (most := _MOST.get(key)) is not None and any(one > most for one in numbers_in(value)):
            raise ConfigError(f"dft.settings.{key}: {value!r} is more than pw.x ever needs; at most {most:g}")
        if (field := PwSettings.model_fields.get(key)) is not None:
            try:
                as_meant(value, kinds_of(field.annotation))
            except ValueError as error:
                raise ConfigError(f"dft.settings.{key}: {error} (given: {value!r})") from error


def _known(key: str) -> str:
    """The nearest field to an unknown one, or all."""
    if key in PwSettings.model_fields:
        return ""
    near = nearest_name(key, PwSettings.model_fields)
    return f"; did you mean {near!r}?" if near else f"; known: {', '.join(PwSettings.model_fields)}"
