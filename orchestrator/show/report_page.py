"""report.html of a campaign: one self-contained page with its figures, which are also written as PNG files beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from crystalloop.db.ledger.records import REFERENCES, Candidate
from crystalloop.db.ledger.store import Store
from crystalloop.models.draw.target import Target
from crystalloop.orchestrator.account.arms import arm_rows, gain_sentences
from crystalloop.orchestrator.account.calibration import calibration_rows, diagram, drift_of, judged
from crystalloop.orchestrator.account.results import result_rows, used_references
from crystalloop.orchestrator.account.rounds import (
    RoundResult,
    compared,
    hit_definition,
    merged_order,
    property_unit,
    round_results,
)
from crystalloop.orchestrator.account.wall_time import account, time_parts
from crystalloop.orchestrator.campaign.spec import Campaign
from crystalloop.orchestrator.show import figures
from crystalloop.orchestrator.show.chances.calibration_figure import calibration_alt, calibration_figure
from crystalloop.orchestrator.show.number_text import NONE
from crystalloop.orchestrator.show.page import Maker, Picture, pictures, render
from crystalloop.orchestrator.show.report_words import Findings, cards, largest_parts, summary


def write_report(store: Store, campaign: Campaign, folder: Path, now: datetime) -> Path:
    """Write report.html and figures/*.png.

    Args:
        store: what the campaign wrote down.
        campaign: what it was asked for.
        folder: of the campaign; made if missing.
        now: the date on the page, the only thing that differs between two reports of the same state.

    Returns:
        Path of report.html.
    """
    findings = gather(store, campaign)
    drawn = draw(findings)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for name, picture in drawn.items():
        (folder / "figures" / f"{name}.png").write_bytes(picture.light)
    path = folder / "report.html"
    path.write_text(report_html(findings, drawn, now), encoding="utf-8")
    return path


def gather(store: Store, campaign: Campaign) -> Findings:
    """Read what the page needs from the store."""
    record, candidates = store.campaign(campaign.name), store.candidates(campaign.name)
    references = own_references(campaign, candidates, store.candidates(REFERENCES))
    return Findings(
        campaign=campaign,
        record=record,
        candidates=candidates,
        references=references,
        models=store.model_versions(campaign.name),
        rounds=round_results(campaign.target, candidates, store.rounds(campaign.name)),
        account=account(record, (*candidates, *references)) if record else None,
    )


def own_references(
    campaign: Campaign, candidates: Sequence[Candidate], references: Sequence[Candidate]
) -> tuple[Candidate, ...]:
    """The references that the campaign's formation energies were made with; all of an element while none was used."""
    used = {r.id: element for c in candidates for element, r in used_references(c, references).items()}
    missing = set(campaign.elements) - set(used.values())
    return tuple(r for r in references if r.id in used or set(r.crystal.species) <= missing)


def draw(findings: Findings) -> dict[str, Picture]:
    """Figures that there is something to show in."""
    rounds, time = findings.rounds, findings.account
    pairs: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for candidate, predicted, computed in compared(findings.candidates):
        pairs[candidate.round].append((predicted, computed))
    makers: dict[str, Maker] = {
        "funnel": (partial(figures.funnel_figure, rounds), _funnel_alt(rounds)),
        "hits": (partial(figures.hits_figure, rounds), _hits_alt(rounds)),
        "parity": (partial(figures.parity_figure, pairs, rounds), _parity_alt(rounds)),
    }
    forecasts = judged(findings.candidates, findings.hits)
    rows = calibration_rows(forecasts)
    if rows:
        makers["calibration"] = (partial(calibration_figure, rows, diagram(forecasts)), calibration_alt(rows))
    if time is not None:
        parts = largest_parts(time_parts(time))
        makers["time"] = (partial(figures.time_figure, parts, time), _time_alt(parts))
    return pictures(makers)


def report_html(findings: Findings, drawn: dict[str, Picture], now: datetime) -> str:
    """The page as HTML."""
    hits, forecasts = findings.hits, judged(findings.candidates, findings.hits)
    settings = findings.computed[0].settings if findings.computed else {}
    relaxations = [c.relaxation for c in findings.candidates if c.relaxation is not None]
    return render(
        "report.html.j2",
        now,
        name=findings.campaign.name,
        summary=summary(findings),
        cards=cards(findings),
        rounds=findings.rounds,
        arms=arm_rows(findings.candidates, findings.rounds),
        gains=gain_sentences(findings.candidates, findings.rounds),
        stages=merged_order([[stage for stage, _ in result.funnel] for result in findings.rounds]),
        shown_rounds=figures.SHOWN_ROUNDS,
        hit_definition=hit_definition(findings.campaign.target),
        rows=[row | {"hit": row["id"] in hits} for row in result_rows(findings.computed)],
        models=findings.models,
        account=findings.account,
        parts=time_parts(findings.account) if findings.account else [],
        references=_reference_rows(findings),
        pw_versions=sorted({relaxation.pw_version for relaxation in relaxations}),
        dft_settings=yaml.safe_dump(settings, sort_keys=True, allow_unicode=True) if settings else "",
        spec=yaml.safe_dump(findings.campaign.spec(), sort_keys=False, allow_unicode=True),
        figures=drawn,
        forecasts=calibration_rows(forecasts),
        drift=drift_of(forecasts),
        forecast_unit=_forecast_unit(findings.campaign.target),
    )


def _forecast_unit(target: Target) -> str:
    """Of the networks, which hold some properties as logarithms."""
    return "log10" if target.property.startswith("log10_") else property_unit(target)


def _reference_rows(findings: Findings) -> list[dict[str, Any]]:
    """The references that the formation energies were made with."""
    used: dict[str, tuple[str, Candidate]] = {}
    for candidate in findings.candidates:
        for element, reference in used_references(candidate, findings.references).items():
            used[reference.id] = (element, reference)
    return [
        {"element": e, "id": r.id, "energy": r.relaxation.energy_per_atom_ev, "md5": r.relaxation.pseudos.get(e, NONE)}
        for e, r in sorted(used.values(), key=lambda pair: (pair[0], pair[1].id))
        if r.relaxation is not None
    ]


def _funnel_alt(rounds: Sequence[RoundResult]) -> str:
    each = (f"round {r.number}: {', '.join(f'{stage} {count}' for stage, count in r.funnel)}" for r in rounds)
    return "Bars of the crystals left after each stage. " + "; ".join(each)


def _hits_alt(rounds: Sequence[RoundResult]) -> str:
    each = (f"round {r.number}: {len(r.hits)} hits of {r.relaxed + r.gave_up} computed" for r in rounds)
    return "Bars of hits in each round, and a line of hits over CPU-hours. " + "; ".join(each)


def _parity_alt(rounds: Sequence[RoundResult]) -> str:
    each = (
        f"round {r.number}: mean absolute error {r.mae_ev:.3f} eV/atom, n {r.compared}"
        for r in rounds
        if r.mae_ev is not None
    )
    return "Predicted against computed formation energy, and the error of each round. " + "; ".join(each)


def _time_alt(parts: Sequence[tuple[str, float]]) -> str:
    return "A bar of the wall time. " + "; ".join(f"{label} {seconds:.0f} s" for label, seconds in parts)
