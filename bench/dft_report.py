"""What bench/dft_figures.py makes of its finished calculations: errors, costs and agreements, of as many as there are."""

from __future__ import annotations

from collections import Counter
from statistics import fmean, median
from typing import Any

from measure import environment

LIGHT = frozenset(["H", "Li", "Be", "B", "C", "N", "O", "F", "Na", "Mg", "Al", "Si", "P", "S", "Cl"])


def report(listed: dict[str, Any], done: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """All figures, each with the number of compounds behind it.

    Args:
        listed: the table of compounds.
        done: finished calculations by name.
    """
    good = {name: result for name, result in done.items() if "failure" not in result}
    rows = listed["compounds"]
    return {
        "environment": environment(),
        "lattice": lattice(rows, good),
        "formation_energy": formation(rows, good),
        "cost": cost(rows, good),
        "against_plain_vc_relax": against_plain(rows, good),
        "equation_of_state": equations(rows, good),
        "eos_against_vc_relax": methods(rows, good),
        "slots": good.get("slots"),
        "failed": {name: result["failure"] for name, result in done.items() if "failure" in result},
    }


def lattice(rows: list[dict[str, Any]], good: dict[str, dict[str, Any]]) -> dict[str, Any]:
    errors = {}
    for row in rows:
        if found := good.get(f"auto-{row['formula']}"):
            error = 100 * (found["a_ang"] / row["a_ang"] - 1)
            errors[row["formula"]] = {
                "a_ang": round(found["a_ang"], 4),
                "published_ang": row["a_ang"],
                "source": row["source"],
                "error_percent": round(error, 3),
            }
    sizes = [abs(entry["error_percent"]) for entry in errors.values()]
    return _summary(sizes, "percent") | {"compounds": errors}


def formation(rows: list[dict[str, Any]], good: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Raw PBE on both sides: the published correction of the anion is taken off."""
    errors = {}
    for row in rows:
        found = good.get(f"auto-{row['formula']}")
        elements = _composition(row)
        references = {element: good.get(f"element-{element}") for element in elements}
        if "e_f_mp2020" not in row or found is None or None in references.values():
            continue
        atoms = sum(elements.values())
        mean = sum(n * references[el]["energy_per_atom_ev"] for el, n in elements.items()) / atoms  # type: ignore[index]
        published = row["e_f_mp2020"] - row.get("correction", 0.0) / atoms  # one anion per formula unit of a binary
        ours = found["energy_per_atom_ev"] - mean
        errors[row["formula"]] = {
            "ev_per_atom": round(ours, 4),
            "published": round(published, 4),
            "corrected_anion": "correction" in row,
            "error": round(ours - published, 4),
        }
    return _summary([abs(entry["error"]) for entry in errors.values()], "ev_per_atom") | {"compounds": errors}


def cost(rows: list[dict[str, Any]], good: dict[str, dict[str, Any]]) -> dict[str, Any]:
    seconds = {
        row["formula"]: round(found["cpu_s"], 1)
        for row in rows
        if (found := good.get(f"auto-{row['formula']}")) and set(row["sites"]) <= LIGHT and found["atoms"] <= 5
    }
    hours = [value / 3600 for value in seconds.values()]
    return {"median_cpu_hours": round(median(hours), 5) if hours else None, "count": len(hours), "cpu_s": seconds}


def against_plain(rows: list[dict[str, Any]], good: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The rung that relax() chooses against vc-relax of the conventional cell, with the same thresholds."""
    found = _compared(rows, good, "auto", "plain")
    for pair in found.get("compounds", {}).values():
        pair["ratio"] = round(pair["auto_cpu_s"] / pair["plain_cpu_s"], 4)
    ratios = [pair["ratio"] for pair in found.get("compounds", {}).values()]
    return {"median_ratio": round(median(ratios), 4)} | found if ratios else found


def methods(rows: list[dict[str, Any]], good: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Method eos against method vc-relax, both of the primitive cell."""
    return _compared(rows, good, "eos", "vc")


def _compared(rows: list[dict[str, Any]], good: dict[str, dict[str, Any]], one: str, other: str) -> dict[str, Any]:
    """Energies, edges and costs of two ways to relax the same compounds."""
    pairs = {}
    for row in rows:
        first, second = good.get(f"{one}-{row['formula']}"), good.get(f"{other}-{row['formula']}")
        if first and second:
            pairs[row["formula"]] = {
                f"{one}_cpu_s": round(first["cpu_s"], 1),
                f"{other}_cpu_s": round(second["cpu_s"], 1),
                "mev_per_atom": round(1000 * (first["energy_per_atom_ev"] - second["energy_per_atom_ev"]), 3),
                "a_percent": round(100 * (first["a_ang"] / second["a_ang"] - 1), 4),
            }
    if not pairs:
        return {"count": 0}
    worst = {f"worst_{name}": max(abs(pair[name]) for pair in pairs.values()) for name in ("mev_per_atom", "a_percent")}
    return {"count": len(pairs), **worst, "compounds": pairs}


def equations(rows: list[dict[str, Any]], good: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Method eos against the secant on the pressure: cost, and the volume at the minimum of the energy."""
    found = {}
    for row in rows:
        eos, auto = good.get(f"eos-{row['formula']}"), good.get(f"auto-{row['formula']}")
        if eos and auto and eos["equation"]:
            curve = eos["equation"]
            cells = 4 if row["prototype"] in ("rocksalt", "zincblende", "heusler") else 1
            edge = (curve["volume_per_atom_ang3"] * eos["atoms"] * cells) ** (1 / 3)
            found[row["formula"]] = {
                "bulk_modulus_gpa": round(curve["bulk_modulus_gpa"], 2),
                "bulk_modulus_prime": round(curve["bulk_modulus_prime"], 2),
                "rms_mev_per_atom": round(curve["rms_mev_per_atom"], 4),
                "points": curve["points"],
                "cpu_over_auto": round(eos["cpu_s"] / auto["cpu_s"], 2),
                "a_of_energy_over_pressure_percent": round(100 * (edge / eos["a_ang"] - 1), 4),
            }
    return found


def _composition(row: dict[str, Any]) -> Counter[str]:
    counts = {"perovskite": (1, 1, 3), "heusler": (2, 1, 1)}.get(row["prototype"], (1, 1))
    return Counter(dict(zip(row["sites"], counts, strict=True)))


def _summary(sizes: list[float], unit: str) -> dict[str, Any]:
    if not sizes:
        return {"count": 0}
    return {"count": len(sizes), f"mean_abs_{unit}": round(fmean(sizes), 4), f"worst_{unit}": round(max(sizes), 4)}
