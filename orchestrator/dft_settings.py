"""The settings of pw.x that a campaign asks for. Light: `results` and `status` wait for what this imports."""

from __future__ import annotations

from pydantic import ValidationError

from dft.settings import PwSettings, preset
from orchestrator.config import Campaign, ConfigError


def dft_settings(campaign: Campaign) -> PwSettings:
    """The preset with the campaign's own fields over it.

    Raises:
        ConfigError: an unknown field, or a value out of bounds.
    """
    base = preset(campaign.dft.preset).model_dump()
    try:
        return PwSettings.model_validate({**base, **campaign.dft.settings})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"dft.settings.{key}: {first['msg']} (given: {first['input']!r}); known: {', '.join(PwSettings.model_fields)}"
        ) from error
