"""The chain of `orchestrator.account.results.trace_chain` as indented lines of text. Pure; nothing is asked or printed here."""

from __future__ import annotations

from typing import Any

from crystalloop.orchestrator.account.results import Chain
from crystalloop.orchestrator.show.number_text import number

NAMED = 6
"""So many ids or numbers are written out before the rest is only counted."""


def trace_lines(chain: Chain) -> list[str]:
    """Plain text lines, two spaces per level: from the latent vector to the models that learned from the result."""
    return [
        *_candidate(chain["candidate"]),
        "proposed by",
        *_indent(_proposed_by(chain["proposed_by"])),
        "filters",
        *_indent(_filters(chain["filters"])),
        "predicted before DFT",
        *_indent(_predicted(chain["predicted"])),
        f"attempts of pw.x: {len(chain['attempts'])}",
        *_indent(_attempts(chain)),
        "relaxation",
        *_indent(_relaxation(chain["relaxation"], chain["candidate"])),
        "formation energy",
        *_indent(_formation_energy(chain["formation_energy"])),
        "used by",
        *_indent(_used_by(chain["used_by"])),
    ]


def _indent(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _some(values: list[Any]) -> str:
    """The first few values, and how many more there are."""
    shown = ", ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in values[:NAMED])
    return shown + (f" and {len(values) - NAMED} more" if len(values) > NAMED else "")


def _candidate(candidate: dict[str, Any]) -> list[str]:
    prototype = candidate["prototype"] or "no known prototype"
    lines = [
        f"{candidate['id']}: {candidate['formula']}, {prototype}",
        f"  campaign {candidate['campaign']}, round {candidate['round']}, {candidate['state']}",
    ]
    return lines + ([f"  {candidate['reason']}"] if candidate["reason"] else [])


def _proposed_by(origin: dict[str, Any]) -> list[str]:
    bases = f" ({', '.join(origin['bases'])})" if origin["bases"] else ""
    lines = [f"{origin['kind']}{bases}" + (f", seed {origin['seed']}" if origin["seed"] is not None else "")]
    if origin["latent"]:
        norm = sum(value * value for value in origin["latent"]) ** 0.5
        lines.append(f"latent: {len(origin['latent'])} numbers of norm {norm:.3f}: {_some(origin['latent'])}")
    if origin["condition"]:
        lines.append(f"condition: {_some(origin['condition'])}")
    if origin["model_version"] is None:
        return [*lines, "no model: the crystal comes from a table of prototypes"]
    if origin["kind"] == "decorated":
        lines.append("a prototype with elements on its sites: the model ranked it beside what it drew")
    if origin["model"] is None:
        return [*lines, f"model {origin['model_version']}, which is not in this database"]
    return lines + _model(origin["model"])


def _model(model: dict[str, Any]) -> list[str]:
    trained_on = model["trained_on"]
    computed = (
        f"{len(trained_on)} of them computed here: {_some(trained_on)}" if trained_on else "all of them from files"
    )
    lines = [
        f"model {model['id']}, trained after round {model['round']}, {model['created_at']}",
        f"  {model['labelled']} labelled crystals, {computed}",
        f"  {model['unlabelled']} unlabelled crystals, data digest {model['data_digest'][:16]}",
    ]
    lines += [
        f"  {name}: weights sha256 {network['sha256'][:16]}, {network['samples']} crystals, {network['train_s']:.0f} s"
        for name, network in model["networks"].items()
    ]
    parents = [parent["id"] for parent in model["parents"]]
    return [*lines, f"  continues from {' <- '.join(parents)}" if parents else "  trained from initial weights"]


def _filters(filters: dict[str, Any]) -> list[str]:
    funnel = ", ".join(f"{stage['stage']} {stage['left']}" for stage in filters["funnel"])
    chosen = "chosen for DFT" if filters["chosen_for_dft"] else "not chosen for DFT"
    score = "" if filters["score"] is None else f", score {filters['score']:.4f}"
    return [
        f"passed: {', '.join(filters['passed']) or 'none'}",
        f"all of the round: {funnel or 'none'}",
        chosen + score,
    ]


def _predicted(predicted: dict[str, float | None]) -> list[str]:
    known = [f"{name}: {value:.4f}" for name, value in predicted.items() if value is not None]
    return known or ["nothing: no model took part"]


def _attempts(chain: Chain) -> list[str]:
    lines = []
    for attempt in chain["attempts"]:
        lines.append(
            f"{attempt['number']}: {attempt['outcome']}, {attempt['cpu_s']:.1f} CPU s, {attempt['wall_s']:.1f} s, "
            f"{attempt['worker'] or 'unnamed worker'}, started {attempt['started_at']}"
        )
        notes = {"seen": attempt["detail"], "next": attempt["correction"], "files": attempt["folder"]}
        lines += [f"  {name}: {note}" for name, note in notes.items() if note]
    source = (chain["relaxation"] or {}).get("reused_from")
    return lines + ([f"the same calculation was made for {source}; trace it for its attempts"] if source else [])


def _relaxation(relaxation: dict[str, Any] | None, candidate: dict[str, Any]) -> list[str]:
    if relaxation is None:
        return [f"none: {candidate['state']}"]
    pseudos = ", ".join(f"{element} {md5}" for element, md5 in sorted(relaxation["pseudos"].items()))
    return [
        f"energy {relaxation['energy_per_atom_ev']:.6f} eV/atom, {relaxation['steps']} steps",
        f"a {relaxation['a_ang']:.4f} angstrom, space group {relaxation['spacegroup']}, "
        f"{relaxation['volume_per_atom_ang3']:.3f} angstrom^3/atom",
        f"pressure {relaxation['pressure_kbar']:.3f} kbar, largest force {relaxation['fmax_ev_ang']:.5f} eV/angstrom",
        f"bonds changed by {number(relaxation['bond_change_percent'], '.2f', '%', 'none')}, "
        f"cell by {number(relaxation['cell_change_percent'], '.2f', '%', 'none')}",
        f"pw.x {relaxation['pw_version']}; md5 of pseudopotentials: {pseudos}",
    ]


def _formation_energy(energy: dict[str, Any]) -> list[str]:
    if energy["e_f"] is None:
        return [f"none: {energy['reason'] or 'not computed'}"]
    lines = [f"{energy['e_f']:.6f} eV/atom; predicted {number(energy['e_f_predicted'], '.4f', 'eV/atom', 'none')}"]
    lines += [
        f"{row['fraction']:.3f} x {row['element']}: {row['id']}, {number(row['energy_per_atom_ev'], '.6f', 'eV/atom', 'none')}"
        for row in energy["references"]
    ]
    if energy["follows_from_references"] is False:
        lines.append("these references do not give this formation energy; the ones it was made with are gone")
    if energy["e_f_without_d2"] is not None:
        lines.append(f"without D2, of the same cells: {energy['e_f_without_d2']:.6f} eV/atom")
    if energy["e_above_hull"] is not None:
        of = energy["hull_source"] or "what this database knows"
        error = "" if energy["hull_error"] is None else f"; standard error {energy['hull_error']:.3f} eV/atom"
        lines.append(f"{energy['e_above_hull']:.6f} eV/atom above the hull of {of}{error}")
    elif energy["hull_reason"]:
        lines.append(energy["hull_reason"])
    return lines


def _used_by(versions: list[dict[str, Any]]) -> list[str]:
    lines = []
    for version in versions:
        rounds = ", ".join(str(one) for one in version["proposed_rounds"])
        proposed = f"; it proposed round {rounds}" if rounds else ""
        lines.append(f"model {version['id']}, trained after round {version['round']}{proposed}")
    return lines or ["no model was trained on it"]
