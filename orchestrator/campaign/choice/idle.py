"""Keys of a campaign's choice that are not at their default and have no effect beside the others, in words. Pure."""

from __future__ import annotations

from crystalloop.orchestrator.campaign.choice.sections import AcquireSection, SurrogateSection
from crystalloop.orchestrator.campaign.part import Part

OF_LAYERS = ("diversity", "explore", "per_cost", "success", "repeats", "compounds")
"""Of the layers round a policy; lots are drawn without them."""


def idle_notes(acquire: AcquireSection, surrogate: SurrogateSection) -> tuple[str, ...]:
    """A sentence for each such key, with its value and what would give it an effect."""
    found = []
    if acquire.policy == "random":
        found += [_note("acquire", acquire, key, "lots are drawn; take another acquire.policy") for key in OF_LAYERS]
    if acquire.policy != "ucb":
        found.append(_note("acquire", acquire, "kappa", "it is of acquire.policy ucb alone"))
    if surrogate.model not in ("trees", "stack"):
        found.append(_note("surrogate", surrogate, "trees", "it is of surrogate.model trees and stack"))
    return tuple(dict.fromkeys(note for note in found if note))


def _note(section: str, part: Part, key: str, why: str) -> str:
    value = getattr(part, key)
    if value == type(part).model_fields[key].default:
        return ""
    return f"{section}.{key} is {str(value).lower()} and has no effect: {why}"
