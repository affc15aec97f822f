"""The evaluation as one self-contained HTML page: the table with its definitions, and the figures."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from crystalloop.models.crystals.properties import E_F, PROPERTIES
from crystalloop.models.judge.evaluate import Evaluation
from crystalloop.models.judge.inputs import any_element
from crystalloop.models.judge.interpolation import make_strips
from crystalloop.models.judge.rows import Row
from crystalloop.orchestrator.show import evaluation_figures as figures
from crystalloop.orchestrator.show.evaluation_table import count_text, parts_text, reach_text
from crystalloop.orchestrator.show.latent_map import MOST_POINTS, tsne
from crystalloop.orchestrator.show.number_text import unit_text, value_text
from crystalloop.orchestrator.show.page import Maker, Picture, pictures, render

HEADLINES = (
    ("cell_mae", "cell edges"),
    ("site_error", "site positions"),
    ("species_accuracy", "species per site"),
    ("match_rate", "match rate"),
    ("valid", "valid samples"),
    ("decile_within_one", "decile within one"),
)


@any_element()
def write_page(found: Evaluation, path: Path, now: datetime) -> Path:
    """Write the page.

    Args:
        found: what was measured.
        path: of the file; its folder is made if missing.
        now: the date on the page.

    Returns:
        The path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(evaluation_html(found, draw(found), now), encoding="utf-8")
    return path


def draw(found: Evaluation) -> dict[str, Picture]:
    """Figures that there is something to show in."""
    makers: dict[str, Maker] = {}
    if found.predicted is not None:
        predicted, labels = found.predicted, found.labels
        makers["parity"] = (
            lambda theme: figures.parity_figure(predicted, labels, theme),
            "Predicted against true values of each property; the errors are in the table.",
        )
    if found.held is not None and found.networks.vae is not None and found.networks.unet is not None:
        held, strips = found.held, make_strips(found.networks.vae, found.networks.unet, found.held, found.judged)
        chosen = np.random.default_rng(0).permutation(len(held))[:MOST_POINTS]
        places = tsne(np.array([found.judged[i].latent for i in chosen]))
        groups = [held.groups[i] for i in chosen]
        makers["latent"] = (
            lambda theme: figures.latent_figure(places, groups, held.labels[chosen, PROPERTIES.index(E_F)], theme),
            f"t-SNE map of the latent vectors of {len(chosen)} held-out crystals, by class and by formation energy.",
        )
        makers["slices"] = (
            lambda theme: figures.slices_figure(found.shown, theme),
            "Mid-slices of true density, decoded density, true species and segmentation of held-out crystals.",
        )
        lines = "; ".join(f"{s.start} to {s.end}: {', '.join(f or 'nothing' for f in s.formulas)}" for s in strips)
        makers["strips"] = (lambda theme: figures.strips_figure(strips, theme), f"Decoded mid-slices on lines. {lines}")
    return pictures(makers)


def evaluation_html(found: Evaluation, drawn: dict[str, Picture], now: datetime) -> str:
    """The page as HTML."""
    rows = {row.key: row for row in found.rows}
    return render(
        "evaluation.html.j2",
        now,
        settings=found.settings,
        names=", ".join(path.name for path in found.settings.data),
        properties=", ".join(path.name for path in found.settings.properties),
        counts=found.counts,
        notes=found.notes,
        failures=found.failures,
        cards=[_card(rows[key], label) for key, label in HEADLINES if key in rows],
        bounds=[row.met for row in found.rows if row.met is not None],
        sections={
            section: [_shown(row) for row in found.rows if row.definition.section == section]
            for section in dict.fromkeys(row.definition.section for row in found.rows)
        },
        figures=drawn,
    )


def _card(row: Row, label: str) -> dict[str, str]:
    d = row.definition
    unit = unit_text(d.unit)
    return {
        "label": label,
        "value": f"{value_text(row.strict, d.unit)} {unit}".strip(),
        "note": f"strict; seed {value_text(row.seed, d.unit)}" + (f"; reach {reach_text(d)}" if d.reach else ""),
    }


def _shown(row: Row) -> dict[str, Any]:
    d = row.definition
    return {
        "title": d.title,
        "unit": unit_text(d.unit),
        "seed": value_text(row.seed, d.unit),
        "strict": value_text(row.strict, d.unit),
        "met": row.met,
        "reach": reach_text(d),
        "paper": d.paper,
        "count": count_text(row),
        "definition": (d.seed, d.strict),
        "parts": parts_text(row),
        "note": row.note,
    }
