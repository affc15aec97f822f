"""A target in words: which of its properties pw.x computes, and what `plan` says of those it does not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

from crystalloop.models.crystals.quantities import quantity
from crystalloop.models.draw.target import ABOVE_HULL, COMPUTED, Objective, Range, Target
from crystalloop.orchestrator.campaign.sections import Dft

_ASKED = {
    "band_gap": "band_gap is computed with `dft: {band_gap: scf}` (or nscf)",
    "bulk_modulus": "bulk_modulus is computed with `dft: {settings: {method: eos}}`, in cells with only their volume free",
}


def never_computed(target: Target, dft: Dft) -> tuple[str, ...]:
    """The names of the target's properties that pw.x does not compute in such a campaign: hits in them are predicted."""
    return tuple(_name(one) for one in target.properties() if not _is_computed(one, dft))


def learnt_from_data(target: Target, dft: Dft) -> tuple[str, ...]:
    """The names of the target's properties that networks learn from data files alone, not from the campaign's own results.

    The bulk modulus is among them even where it is computed: equations of state are for cubic crystals alone.
    """
    own = (*COMPUTED, ABOVE_HULL, "band_gap") if _is_computed("band_gap", dft) else (*COMPUTED, ABOVE_HULL)
    return tuple(_name(one) for one in target.properties() if one not in own)


def unlabelled(target: Target, dft: Dft, labels: Iterable[Mapping[str, float]]) -> tuple[str, ...]:
    """The properties of `learnt_from_data` of which no crystal of the data has a label: nothing can predict them."""
    known = {name for row in labels for name in row}
    return tuple(name for name in learnt_from_data(target, dft) if (one := quantity(name)) and one.network not in known)


def how_computed(missing: Iterable[str]) -> str:
    """How pw.x could compute those of the properties that it can, as a part of a sentence; empty for none."""
    return "".join(f"; {_ASKED[name]}" for name in missing if name in _ASKED)


def how_learnt(missing: Iterable[str]) -> str:
    """How networks could learn one of the properties from the campaign's own results, likewise."""
    return how_computed(name for name in missing if name == "band_gap")


def target_sentence(target: Target) -> str:
    """What is wanted, with units."""
    words = [_range_words(one) for one in target.ranges()]
    if target.objectives:
        words = [*(_aim_words(one) for one in target.objectives), *words]
    elif target.direction is not None:
        own = f"{target.direction} {_name(target.property)}"
        words = [f"{words[0]}, {own}", *words[1:]] if target.has_range() else [own, *words]
    place = target.vicinity
    return " and ".join([*words, *([str(place)] if place is not None else [])])


def _aim_words(aim: Objective) -> str:
    """An objective, with how much of it counts as one."""
    one, scale = quantity(aim.property), 1 / aim.unit_gain()
    logarithm = one is not None and one.is_logarithm
    shown = f"a factor of {10**scale:.3g}" if logarithm else f"{scale:.3g} {one.unit if one else ''}".rstrip()
    return f"{aim.direction} {_name(aim.property)} ({shown} counts as one)"


def plan_notes(target: Target, dft: Dft) -> tuple[str, ...]:
    """What the target's reader must know: which hits are predicted, and by what."""
    missing = never_computed(target, dft)
    if not missing:
        return ()
    which = " and ".join(missing)
    return (
        f"hits are predicted in {which}: pw.x does not compute {'them' if len(missing) > 1 else 'it'} here, and the value is "
        f"what the CGCNN of the model that proposed the crystal says before the relaxation{how_computed(missing)}",
    )


def _is_computed(name: str, dft: Dft) -> bool:
    match name:
        case "band_gap":
            return {dft.band_gap, dft.settings.get("band_gap")} & {"scf", "nscf"} != set()
        case "log10_bulk_modulus":
            return dft.settings.get("method") == "eos"
        case _:
            return name in (*COMPUTED, ABOVE_HULL)


def _name(network: str) -> str:
    one = quantity(network)
    return one.name if one else network


def _range_words(wanted: Range) -> str:
    one = quantity(wanted.property)
    unit = f" {one.unit}" if one and one.unit else ""
    low, high = (end if one is None or abs(end) == inf else one.from_network(end) for end in (wanted.low, wanted.high))
    if low == -inf:
        return f"{_name(wanted.property)} <= {high:g}{unit}"
    return (
        f"{_name(wanted.property)} >= {low:g}{unit}"
        if high == inf
        else f"{_name(wanted.property)} in {low:g}..{high:g}{unit}"
    )
