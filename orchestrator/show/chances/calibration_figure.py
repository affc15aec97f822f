"""The figure of calibration: coverage by round, and the reliability diagram. Numbers in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from crystalloop.models.surrogate.chances.conformal import MISSED
from crystalloop.models.surrogate.chances.reliability import Bin
from crystalloop.orchestrator.account.calibration import RoundCalibration
from crystalloop.orchestrator.show.page import WIDTH, Theme, style


def calibration_figure(rows: Sequence[RoundCalibration], bins: Sequence[Bin], theme: Theme) -> Figure | None:
    """Coverage by round beside the reliability diagram; each alone where there is nothing for the other; None for neither."""
    covered = [row for row in rows if row.covered is not None]
    panels = bool(covered) + bool(bins)
    if not panels:
        return None
    figure = Figure(figsize=(WIDTH, 3.1), layout="constrained", facecolor=theme.paper)
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for one in axes:
        style(one, theme)
        one.grid(color=theme.grid, linewidth=0.8)
    if covered:
        _coverage(axes[0], covered, theme)
    if bins:
        _diagram(axes[-1], bins, theme)
    return figure


def calibration_alt(rows: Sequence[RoundCalibration]) -> str:
    """The figure in words."""
    each = (
        f"round {row.round}: {row.covered:.0%} of {row.intervals} values in their intervals"
        for row in rows
        if row.covered is not None
    )
    return "Coverage of the 90 % intervals by round, and share of hits against forecast chance. " + "; ".join(each)


def _coverage(axes: Axes, rows: Sequence[RoundCalibration], theme: Theme) -> None:
    numbers = [row.round for row in rows]
    axes.axhline(1 - MISSED, color=theme.muted, linewidth=1, linestyle="--", label="promised")
    axes.scatter(
        numbers, [row.covered or 0.0 for row in rows], s=28, color=theme.colours[4], label="this round", zorder=3
    )
    axes.plot(
        numbers, [row.covered_so_far or 0.0 for row in rows], "-", color=theme.colours[0], label="so far", zorder=2
    )
    axes.set(xlabel="round", ylabel="values in their 90 % interval", ylim=(-0.03, 1.05))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.legend(
        frameon=False,
        fontsize=9,
        labelcolor=theme.ink,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=3,
        columnspacing=0.9,
        handlelength=1.2,
    )


def _diagram(axes: Axes, bins: Sequence[Bin], theme: Theme) -> None:
    most = max(one.count for one in bins)
    axes.plot((0, 1), (0, 1), color=theme.muted, linewidth=1, zorder=1)
    for one in bins:
        axes.scatter(one.chance, one.share, s=20 + 130 * one.count / most, color=theme.colours[0], zorder=2)
        axes.annotate(
            f"{one.count}",
            (one.chance, one.share),
            xytext=(7, 7),
            textcoords="offset points",
            fontsize=8.5,
            color=theme.muted,
        )
    axes.set(xlabel="chance of a hit, as forecast", ylabel="share of hits", xlim=(-0.05, 1.1), ylim=(-0.05, 1.1))
