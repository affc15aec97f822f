"""The settings of pw.x that a campaign asks for. Light: `results` and `status` wait for what this imports."""

from __future__ import annotations

from pydantic import ValidationError

from crystalloop.dft.recipe.settings import PwSettings, preset
from crystalloop.dft.relax.rungs import cheap_settings
from crystalloop.orchestrator.campaign.spec import Campaign, ConfigError


def dft_settings(campaign: Campaign) -> PwSettings:
    """The preset with the campaign's own fields over it.

    Raises:
        ConfigError: an unknown field, a value out of bounds, or a limit of the cheap rung where there is none.
    """
    base = preset(campaign.dft.preset).model_dump()
    limit = campaign.dft.reject_above_e_f
    try:
        settings = PwSettings.model_validate({**base, "cheap_first": limit is not None, **campaign.dft.settings})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"dft.settings.{key}: {first['msg']} (given: {first['input']!r}); known: {', '.join(PwSettings.model_fields)}"
        ) from error
    if limit is not None and cheap_settings(settings) is None:
        raise ConfigError(
            f"dft.reject_above_e_f is {limit:g}, but there is no cheaper rung that could reject: preset "
            f"{campaign.dft.preset!r} has k points {settings.kspacing_inv_ang:g}/angstrom apart, cheap_first is "
            f"{settings.cheap_first}; take preset fast or paper, leave out cheap_first: false, or leave out the limit"
        )
    return settings
