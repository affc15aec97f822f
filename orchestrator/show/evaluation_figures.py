"""Figures of the evaluation's page: numbers and maps in, matplotlib figures out. No networks, no files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from crystalloop.models.crystals.elements import symbol_of
from crystalloop.models.crystals.properties import PROPERTIES
from crystalloop.models.judge.interpolation import STEPS, Strip
from crystalloop.models.judge.metrics import mean_absolute_error
from crystalloop.models.judge.properties import Predicted
from crystalloop.models.judge.rows import definitions
from crystalloop.orchestrator.show.number_text import NONE, unit_text
from crystalloop.orchestrator.show.page import MARKERS, WIDTH, Theme, style

if TYPE_CHECKING:
    from crystalloop.models.judge.round_trip import RoundTrip


DENSITY = "magma"


def parity_figure(predicted: Predicted, labels: NDArray[np.float64], theme: Theme) -> Figure | None:
    """Predicted against true, a panel for each property with labels, 90 % intervals as thin lines."""
    shown = [
        i for i in range(len(PROPERTIES)) if (np.isfinite(labels[:, i]) & np.isfinite(predicted.values[:, i])).any()
    ]
    if not shown:
        return None
    rows = -(-len(shown) // 2)
    figure = Figure(figsize=(WIDTH, 2.95 * rows), layout="constrained", facecolor=theme.paper)
    panels = np.atleast_1d(figure.subplots(rows, 2)).ravel()
    for axes, i in zip(panels, shown, strict=False):
        _parity(axes, predicted, labels, i, theme)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    return figure


def _parity(axes: Axes, predicted: Predicted, labels: NDArray[np.float64], i: int, theme: Theme) -> None:
    known = np.isfinite(labels[:, i]) & np.isfinite(predicted.values[:, i])
    true, made = labels[known, i], predicted.values[known, i]
    low, high = predicted.low[known, i], predicted.high[known, i]
    style(axes, theme)
    ends = np.array([min(true.min(), made.min()), max(true.max(), made.max())])
    ends += 0.04 * max(np.ptp(ends), 1e-3) * np.array([-1, 1])
    axes.plot(ends, ends, color=theme.muted, linewidth=1, zorder=1)
    faint = float(np.clip(60 / len(true), 0.08, 0.6))
    if np.isfinite(low).any():
        axes.vlines(true, low, high, color=theme.colours[0], linewidth=0.7, alpha=0.6 * faint, zorder=2)
    axes.scatter(true, made, s=9, color=theme.colours[0], alpha=min(1.0, 2 * faint), linewidths=0, zorder=3)
    d = definitions()[f"mae_{PROPERTIES[i]}"]
    title, unit = d.title.removesuffix(", mean absolute error"), unit_text(d.unit)
    axes.set_title(title, fontsize=10.5, color=theme.ink, loc="left")
    axes.text(
        0.03,
        0.97,
        f"MAE {mean_absolute_error(made, true):.3g}\nn {len(true):,}",
        transform=axes.transAxes,
        va="top",
        fontsize=8.5,
        color=theme.muted,
    )
    axes.set(xlim=ends, ylim=ends, xlabel=f"true ({unit})" if unit else "true", ylabel="predicted")
    axes.grid(color=theme.grid, linewidth=0.7)


def latent_figure(
    places: NDArray[np.float32], groups: Sequence[str], e_f_ev: NDArray[np.float64], theme: Theme
) -> Figure:
    """The latent map twice: by class, and by formation energy."""
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained", facecolor=theme.paper)
    left, right = figure.subplots(1, 2)
    names = sorted(set(groups), key=lambda name: (-groups.count(name), name))
    for i, name in enumerate(names[: len(MARKERS)]):
        here = np.array([group == name for group in groups])
        label = name.replace("_", " ") or "no class"
        marks = {"s": 13, "marker": MARKERS[i], "color": theme.colours[i], "alpha": 0.8, "linewidths": 0}
        left.scatter(*places[here].T, label=label, **marks)
    known = np.isfinite(e_f_ev)
    right.scatter(*places[~known].T, s=10, color=theme.grid, linewidths=0)
    low, high = np.quantile(e_f_ev[known], [0.02, 0.98]) if known.any() else (0.0, 1.0)
    points = right.scatter(*places[known].T, s=13, c=e_f_ev[known], cmap="viridis", vmin=low, vmax=high, linewidths=0)
    for axes in (left, right):
        axes.set_facecolor(theme.paper)
        axes.set(xticks=[], yticks=[])
        axes.set_aspect("equal", adjustable="datalim")
        for spine in axes.spines.values():
            spine.set_color(theme.grid)
    legend = {"frameon": False, "fontsize": 8.5, "labelcolor": theme.ink, "handletextpad": 0.1, "columnspacing": 0.8}
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2, **legend)
    if known.any():
        bar = figure.colorbar(points, ax=right, location="bottom", shrink=0.85, aspect=28, pad=0.03)
        bar.set_label("formation energy (eV/atom)", color=theme.ink, fontsize=9)
        bar.ax.tick_params(colors=theme.muted, labelcolor=theme.ink, labelsize=8.5)
        bar.outline.set_visible(False)
    return figure


def slices_figure(shown: Sequence[RoundTrip], theme: Theme) -> Figure | None:
    """The plane half way along c of true map, decoded map, true species and the UNet's, as in the paper's Figure 2b."""
    if not shown:
        return None
    figure = Figure(figsize=(WIDTH, 0.55 + 1.62 * len(shown)), layout="constrained", facecolor=theme.paper)
    panels = figure.subplots(len(shown), 4, squeeze=False)
    for row, trip in zip(panels, shown, strict=True):
        middle = trip.density.shape[2] // 2
        true = trip.density[:, :, middle]
        ends = {"vmin": float(true.min()), "vmax": float(true.max())}
        for axes, density in zip(row, (trip.density, trip.decoded_density), strict=False):
            _picture(axes, density[:, :, middle], theme, cmap=DENSITY, **ends, interpolation="nearest")
        _species_pair(row[2], row[3], trip.species[:, :, middle], trip.decoded_species[:, :, middle], theme)
        row[0].set_ylabel(formula_text(trip.true.formula), fontsize=10, color=theme.ink)
        read = "nothing read" if trip.raw is None else f"read: {formula_text(trip.raw.formula)}"
        row[1].set_xlabel(read, fontsize=8.5, color=theme.muted)
    for axes, title in zip(panels[0], ("true density", "decoded", "true species", "segmentation"), strict=True):
        axes.set_title(title, fontsize=10, color=theme.ink)
    return figure


def _species_pair(left: Axes, right: Axes, true: NDArray[np.int16], found: NDArray[np.int16], theme: Theme) -> None:
    """True and segmented species in one set of colours: the true elements first, then the others by area."""
    real = [int(z) for z in np.unique(true) if z]
    others, areas = np.unique(found[(found > 0) & ~np.isin(found, real)], return_counts=True)
    wrong = [int(z) for z in others[np.argsort(-areas)]][: max(0, len(theme.colours) - len(real))]
    listed = [*real, *wrong]
    table = np.full(120, len(listed) + 1)
    table[0] = 0
    table[listed] = np.arange(len(listed)) + 1
    colours = ListedColormap([theme.paper, *theme.colours[: len(listed)], theme.muted])
    for axes, species in ((left, true), (right, found)):
        _picture(axes, table[species], theme, cmap=colours, vmin=0, vmax=len(listed) + 1, interpolation="nearest")
        here = [z for z in listed if (species == z).any()]
        handles = [Patch(color=theme.colours[listed.index(z)], label=symbol_of(z)) for z in here]
        if (table[species] == len(listed) + 1).any():
            handles.append(Patch(color=theme.muted, label="others"))
        axes.legend(
            handles=handles[:4],
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=4,
            frameon=False,
            fontsize=8,
            labelcolor=theme.ink,
            handlelength=0.8,
            handletextpad=0.3,
            columnspacing=0.7,
            borderaxespad=0.2,
        )


def strips_figure(strips: Sequence[Strip], theme: Theme) -> Figure | None:
    """Decoded mid-slices along lines between two crystals, and the formulas that were read."""
    if not strips:
        return None
    figure = Figure(figsize=(WIDTH, 1.5 * len(strips)), layout="constrained", facecolor=theme.paper)
    panels = figure.subplots(len(strips), STEPS, squeeze=False)
    for row, strip in zip(panels, strips, strict=True):
        ends = {"vmin": float(strip.slices.min()), "vmax": float(strip.slices.max())}
        for step, axes in enumerate(row):
            _picture(axes, strip.slices[step], theme, cmap=DENSITY, **ends, interpolation="nearest")
            formula = formula_text(strip.formulas[step]) if strip.formulas[step] else NONE
            edge = f"{strip.a_ang[step]:.2f} Å" if np.isfinite(strip.a_ang[step]) else ""
            axes.set_xlabel(f"{formula}\n{edge}", fontsize=7.5, color=theme.muted)
        row[0].set_title(formula_text(strip.start), fontsize=9.5, color=theme.ink)
        row[-1].set_title(formula_text(strip.end), fontsize=9.5, color=theme.ink)
    return figure


def formula_text(formula: str) -> str:
    """A formula for matplotlib, numbers as subscripts."""
    return re.sub(r"(\d+)", r"$_{\1}$", formula)


def _picture(axes: Axes, image: NDArray[Any], theme: Theme, **style: Any) -> None:  # noqa: ANN401
    """One slice, first axis to the right, second up."""
    axes.imshow(image.T, origin="lower", **style)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color(theme.grid)
