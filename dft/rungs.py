"""The cheap rung before the accurate one: its settings, and what it rejects. Pure; the rungs are climbed in `crystalloop.dft.relax`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crystalloop.dft.settings import PwSettings, preset

if TYPE_CHECKING:
    from crystalloop.dft.compare import Comparison

CHEAP, ACCURATE = "cheap", "accurate"


@dataclass(frozen=True)
class Rung:
    """What one rung found."""

    name: str  # cheap or accurate
    kspacing_inv_ang: float
    energy_per_atom_ev: float
    volume_per_atom_ang3: float
    pressure_kbar: float
    cpu_s: float


def cheap_settings(settings: PwSettings) -> PwSettings | None:
    """The k points and thresholds of the test preset with everything else as asked; None where there is no such rung.

    There is none when it was not asked for, for fixed geometries, and where it would be no cheaper.
    """
    test = preset("test")
    if not settings.cheap_first or settings.vary == "nothing" or settings.kspacing_inv_ang >= test.kspacing_inv_ang:
        return None
    looser = ("kspacing_inv_ang", "etot_conv_thr_ry", "forc_conv_thr_ry_bohr", "press_conv_thr_kbar")
    changes: dict[str, object] = {name: max(getattr(settings, name), getattr(test, name)) for name in looser}
    changes["kspacing_metals_inv_ang"] = None
    if settings.method == "eos":
        changes["method"] = "auto"
    return settings.model_copy(update={**changes, "cheap_first": False})


def rejection(cheap: Rung, change: Comparison, settings: PwSettings) -> str | None:
    """Why the crystal is not worth the accurate rung, in a sentence; None where it is.

    A volume at coarse k points is good to about 2 % and an energy to about 0.1 eV/atom (metals), so the limits lie far
    outside of that: what is rejected is wrong, not inaccurate.
    """
    limit, moved = settings.reject_volume_percent, change.volume_change_percent
    if moved is not None and abs(moved) > limit:
        return (
            f"the cheap rung changed the volume by {moved:+.0f} %, more than reject_volume_percent {limit:g}: "
            "not the crystal that was proposed"
        )
    highest = settings.reject_above_ev_per_atom
    if highest is not None and cheap.energy_per_atom_ev > highest:
        return (
            f"the cheap rung found {cheap.energy_per_atom_ev:.3f} eV/atom, "
            f"above reject_above_ev_per_atom {highest:g}: far above its elements"
        )
    return None
