"""Figures of a study in a laboratory: scores in, matplotlib figures out. No files; themes and PNG are of show.page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from crystalloop.orchestrator.show.page import WIDTH, Theme, style
from crystalloop.orchestrator.simulate.scores import Scores, random_hits

STYLES = ("-", "--", "-.", ":")


def curves_figure(scores: Sequence[Scores], rows: int, hits: int, theme: Theme) -> Figure:
    """Mean hits against calls of every policy, a band of one standard error, random choice and the best possible."""
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained", facecolor=theme.paper)
    axes = figure.subplots()
    style(axes, theme)
    last = max(one.calls for one in scores)
    calls = np.arange(last + 1)
    axes.plot(calls, np.minimum(calls, hits), color=theme.muted, linewidth=1, linestyle=":", label="nothing but hits")
    expected = [random_hits(int(i), rows, hits) for i in calls]
    axes.plot(calls, expected, color=theme.muted, linewidth=1, linestyle="--", label="random choice, exact mean")
    for number, one in enumerate(scores):
        colour, line = _look(number, theme)
        mean, band = np.array(one.curve), np.array(one.band)
        places = np.arange(len(mean))
        axes.fill_between(places, mean - band, mean + band, color=colour, alpha=0.2, linewidth=0)
        axes.plot(places, mean, color=colour, linestyle=line, linewidth=1.8, label=one.policy)
    axes.set(xlabel="calls", ylabel="hits found", xlim=(0, last), ylim=(0, _top(scores, hits)))
    _finish(figure, axes, theme, len(scores) + 2)
    return figure


def _top(scores: Sequence[Scores], hits: int) -> float:
    """Above all curves; room for all hits only where a policy comes near them."""
    best = max(mean + band for one in scores for mean, band in zip(one.curve, one.band, strict=True))
    return float(max(1.0, min(1.05 * hits, 1.25 * best)))


def rounds_figure(scores: Sequence[Scores], theme: Theme) -> Figure | None:
    """Share of hits among the calls of each round; None where there is one round."""
    if max(len(one.rounds) for one in scores) < 2:
        return None
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained", facecolor=theme.paper)
    axes = figure.subplots()
    style(axes, theme)
    for number, one in enumerate(scores):
        colour, line = _look(number, theme)
        axes.plot(
            [r.number for r in one.rounds],
            [r.hit_rate for r in one.rounds],
            color=colour,
            linestyle=line,
            linewidth=1.5,
            label=one.policy,
        )
    axes.set(xlabel="round", ylabel="hits / calls of the round")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    _finish(figure, axes, theme, len(scores))
    return figure


def honesty_figure(scores: Sequence[Scores], theme: Theme) -> Figure | None:
    """Coverage of the 90 % intervals and calibration error, round by round; None where nobody forecast anything."""
    speaking = [
        (number, one)
        for number, one in enumerate(scores)
        if any(r.coverage is not None or r.ece is not None for r in one.rounds)
    ]
    if not speaking:
        return None
    figure = Figure(figsize=(WIDTH, 3.1), layout="constrained", facecolor=theme.paper)
    left, right = figure.subplots(1, 2)
    for number, one in speaking:
        colour, line = _look(number, theme)
        look = {"color": colour, "linestyle": line, "linewidth": 1.5, "label": one.policy}
        covered = [(r.number, r.coverage) for r in one.rounds if r.coverage is not None]
        errors = [(r.number, r.ece_so_far) for r in one.rounds if r.ece_so_far is not None]
        left.plot([x for x, _ in covered], [y for _, y in covered], **look)
        right.plot([x for x, _ in errors], [y for _, y in errors], **look)
    left.axhline(0.9, color=theme.muted, linewidth=1, linestyle=":")
    left.set(xlabel="round", ylabel="values inside 90 % intervals", ylim=(0, 1.03))
    right.set(xlabel="round", ylabel="calibration error of P(hit) so far")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        style(axes, theme)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(axis="y", color=theme.grid, linewidth=0.8)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False, fontsize=9, labelcolor=theme.ink)
    return figure


def _look(number: int, theme: Theme) -> tuple[str, str]:
    """Colour and line of the policy of a number; lines differ where colours are used again."""
    return theme.colours[number % len(theme.colours)], STYLES[number // len(theme.colours) % len(STYLES)]


def _finish(figure: Figure, axes: Axes, theme: Theme, entries: int) -> None:
    axes.grid(axis="y", color=theme.grid, linewidth=0.8)
    figure.legend(loc="outside upper left", ncols=min(3, entries), frameon=False, fontsize=9, labelcolor=theme.ink)
