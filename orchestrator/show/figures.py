"""The report's figures: numbers in, matplotlib figures out. No database, no files; themes and PNG are of page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from crystalloop.orchestrator.account.rounds import RoundResult, merged_order
from crystalloop.orchestrator.account.wall_time import Account
from crystalloop.orchestrator.show.page import MARKERS, WIDTH, Theme, style

SHOWN_ROUNDS = 4
"""More rounds than this make grouped bars unreadable: the first and the last ones are drawn, the tables have all."""
NAMED_ROUNDS = 8
"""Rounds that a legend, and numbers over bars, have room for."""


def funnel_figure(results: Sequence[RoundResult], theme: Theme) -> Figure | None:
    """Bars per stage, one for each round; None before the first round."""
    if not results:
        return None
    shown = [*results] if len(results) <= SHOWN_ROUNDS else [results[0], *results[1 - SHOWN_ROUNDS :]]
    stages = merged_order([[stage for stage, _ in result.funnel] for result in shown])
    largest = max(count for result in shown for _, count in result.funnel)
    height = 0.8 / len(shown)
    colours = round_colours(results, theme)
    figure, axes = _axes(theme, 0.9 + len(stages) * (0.16 + 0.17 * len(shown)))
    for index, result in enumerate(shown):
        counts = dict(result.funnel)
        places = [row - 0.4 + height * (index + 0.5) for row, stage in enumerate(stages) if stage in counts]
        values = [counts[stage] for stage in stages if stage in counts]
        axes.barh(places, values, height * 0.86, color=colours[result.number], label=f"round {result.number}")
        for place, value in zip(places, values, strict=True):
            axes.text(value + 0.01 * largest, place, f"{value:,}", va="center", fontsize=8.5, color=theme.muted)
    axes.set_yticks(range(len(stages)), stages)
    axes.invert_yaxis()
    axes.set_xlim(0, max(1, largest) * 1.12)
    axes.set_xlabel("crystals left")
    axes.grid(axis="x", color=theme.grid, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.tick_params(axis="y", length=0)
    if len(shown) > 1:
        _legend(figure, axes, theme, len(shown))
    return figure


def hits_figure(results: Sequence[RoundResult], theme: Theme) -> Figure | None:
    """Hits per round, and cumulative hits over cumulative CPU time; None before anything was computed."""
    if not any(result.relaxed or result.gave_up for result in results):
        return None
    figure, (left, right) = _axes_pair(theme, 2.9)
    numbers = [result.number for result in results]
    left.bar(numbers, [len(result.hits) for result in results], 0.62, color=theme.colours[0], label="hits")
    others = [result.relaxed + result.gave_up - len(result.hits) for result in results]
    bottoms = [len(result.hits) for result in results]
    left.bar(numbers, others, 0.62, bottom=bottoms, color=theme.grid, label="other computed")
    left.set_xlabel("round")
    left.set_ylabel("crystals")
    left.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    left.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    left.legend(frameon=False, fontsize=9, labelcolor=theme.ink, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2)
    unit, scale = ("CPU-minutes", 60.0) if results[-1].total_cpu_s < 7200 else ("CPU-hours", 3600.0)
    spent = [0.0, *(result.total_cpu_s / scale for result in results)]
    totals = [0, *(result.total_hits for result in results)]
    right.plot(spent, totals, "-o", color=theme.colours[0], markersize=5, clip_on=False)
    right.set_xlabel(f"{unit} of pw.x")
    right.set_ylabel("hits so far")
    right.set_xlim(left=0)
    right.set_ylim(0, max(1.0, max(totals) * 1.1))
    right.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    right.xaxis.set_major_locator(MaxNLocator(5))
    for axes in (left, right):
        axes.grid(axis="y", color=theme.grid, linewidth=0.8)
    return figure


def parity_figure(
    pairs: Mapping[int, Sequence[tuple[float, float]]], results: Sequence[RoundResult], theme: Theme
) -> Figure | None:
    """Predicted against computed formation energy by round, and the mean absolute error of each round.

    Args:
        pairs: round -> (predicted, computed) in eV/atom.
        results: gives the errors.
        theme: colours.
    """
    rounds = [number for number, values in sorted(pairs.items()) if values]
    if not rounds:
        return None
    figure, (left, right) = _axes_pair(theme, 3.3)
    colours = round_colours(results, theme)
    _agreement(left, {number: np.array(pairs[number]) for number in rounds}, colours, theme)
    errors = {result.number: (result.mae_ev or 0.0, result.compared) for result in results}
    _errors(right, {number: errors[number] for number in rounds}, colours, theme)
    if len(rounds) <= NAMED_ROUNDS:
        _legend(figure, left, theme, 4)
    return figure


def _agreement(axes: Axes, pairs: Mapping[int, NDArray[np.float64]], colours: Mapping[int, Any], theme: Theme) -> None:
    """Predicted over computed, eV/atom: round -> [n, 2]; on the line both agree."""
    everything = np.concatenate(list(pairs.values()))
    low, high = float(everything.min()), float(everything.max())
    margin = max(0.1, 0.08 * (high - low))
    ends = (low - margin, high + margin)
    axes.plot(ends, ends, color=theme.muted, linewidth=1, zorder=1)
    for index, (number, values) in enumerate(pairs.items()):
        predicted, computed = values.T
        marks = {"color": colours[number], "marker": MARKERS[index % len(MARKERS)], "edgecolors": theme.paper}
        axes.scatter(computed, predicted, s=40, zorder=2, label=f"round {number}", **marks)
    axes.set(xlim=ends, ylim=ends, aspect="equal", xlabel="computed (eV/atom)", ylabel="predicted (eV/atom)")
    axes.grid(color=theme.grid, linewidth=0.8)


def _errors(axes: Axes, errors: Mapping[int, tuple[float, int]], colours: Mapping[int, Any], theme: Theme) -> None:
    """Bars of the mean absolute error: round -> (eV/atom, crystals)."""
    places = range(len(errors))
    axes.bar(places, [mae for mae, _ in errors.values()], 0.62, color=[colours[number] for number in errors])
    tallest = max(mae for mae, _ in errors.values())
    if len(errors) <= NAMED_ROUNDS:
        words: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 9, "color": theme.ink}
        for place, (mae, count) in zip(places, errors.values(), strict=True):
            axes.text(place, mae + 0.02 * tallest, f"{mae:.2f}\nn {count}", **words)
    axes.set_ylim(0, max(0.01, tallest * 1.3))
    step = 1 + (len(errors) - 1) // 12
    axes.set_xticks(list(places)[::step], [str(number) for number in errors][::step])
    axes.set_xlabel("round")
    axes.set_ylabel("mean absolute error (eV/atom)")
    axes.grid(axis="y", color=theme.grid, linewidth=0.8)


def time_figure(parts: Sequence[tuple[str, float]], account: Account, theme: Theme) -> Figure | None:
    """One stacked bar of the campaign's wall time; None when no time was written down."""
    if account.wall_s <= 0:
        return None
    figure, axes = _axes(theme, 2.1)
    unit, scale = ("minutes", 60.0) if account.wall_s < 3 * 3600 else ("hours", 3600.0)
    left = 0.0
    colours = (*theme.colours, theme.muted)
    for index, (label, seconds) in enumerate(parts):
        if seconds > 0:
            axes.barh([0], [seconds / scale], 0.6, left=left, color=colours[index], edgecolor=theme.paper, label=label)
            left += seconds / scale
    axes.set_yticks([])
    axes.set_xlim(0, account.wall_s / scale)
    axes.set_xlabel(f"{unit} of wall time")
    axes.spines["left"].set_visible(False)
    axes.margins(y=0.05)
    _legend(figure, axes, theme, 2)  # three of the longest names are wider than the page
    return figure


def round_colours(results: Sequence[RoundResult], theme: Theme) -> dict[int, Any]:
    """The colour of each round, the same in every figure: categorical for a few, an ordered ramp for many."""
    count = len(results)
    ramp = [mpl.colormaps["cividis"](x) for x in np.linspace(*theme.ramp, count)]
    colours = theme.colours if count <= len(theme.colours) else ramp
    return {result.number: colour for result, colour in zip(results, colours, strict=False)}


def _axes(theme: Theme, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=theme.paper)
    axes = figure.add_subplot()
    style(axes, theme)
    return figure, axes


def _axes_pair(theme: Theme, height: float) -> tuple[Figure, tuple[Axes, Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=theme.paper)
    left, right = figure.subplots(1, 2)
    style(left, theme)
    style(right, theme)
    return figure, (left, right)


def _legend(figure: Figure, axes: Axes, theme: Theme, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=columns, frameon=False, fontsize=9.5, labelcolor=theme.ink
    )
