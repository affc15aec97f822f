"""What every page is made of: theme, style of figures, pictures, template. What a page says lives elsewhere."""

from __future__ import annotations

import base64
import io
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pymatgen.symmetry.groups import sg_symbol_from_int_number

from crystalloop.orchestrator.show.number_text import NONE, decimals, duration, significant

DPI = 150
WIDTH = 6.4  # inches; readable at a phone's width


@dataclass(frozen=True)
class Theme:
    """Colours of a page; the categorical ones are Okabe and Ito's, told apart with any colour vision."""

    paper: str
    ink: str
    muted: str
    grid: str
    colours: tuple[str, ...]
    ramp: tuple[float, float]  # stretch of cividis that stands out from the paper


LIGHT = Theme(
    paper="#ffffff",
    ink="#1c2126",
    muted="#5b6570",
    grid="#dfe3e8",
    colours=("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"),
    ramp=(0.0, 0.85),
)
DARK = Theme(
    paper="#1d2126",
    ink="#e8eaed",
    muted="#a4adb8",
    grid="#363d45",
    colours=("#56B4E9", "#E69F00", "#2FBF95", "#E39BC3", "#4A90D9", "#F07B3F"),
    ramp=(0.25, 1.0),
)
MARKERS = "osD^vP"

Maker = tuple[Callable[[Theme], Figure | None], str]
"""A figure in the colours of a theme, None where there is nothing to show; and the words instead of it."""


@dataclass(frozen=True)
class Picture:
    """A figure as PNG for a light and for a dark page; a template writes it as HTML."""

    light: bytes
    dark: bytes
    alt: str

    def __html__(self) -> str:
        width, height = struct.unpack(">II", self.light[16:24])  # PNG: the header chunk begins with both
        light, dark = (base64.b64encode(image).decode("ascii") for image in (self.light, self.dark))
        return Markup(
            '<figure tabindex="0">\n<picture>\n'
            '<source media="(prefers-color-scheme: dark)" srcset="data:image/png;base64,{}">\n'
            '<img alt="{}" width="{}" height="{}" src="data:image/png;base64,{}">\n'
            "</picture>\n</figure>"
        ).format(dark, self.alt, width, height, light)


def pictures(makers: Mapping[str, Maker]) -> dict[str, Picture]:
    """The figures that there is something to show in."""
    drawn = {}
    for name, (make, alt) in makers.items():
        light, dark = make(LIGHT), make(DARK)
        if light is not None and dark is not None:
            drawn[name] = Picture(png(light), png(dark), alt)
    return drawn


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same figure always gives the same bytes."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def style(axes: Axes, theme: Theme) -> None:
    """Colours and sizes of axes, and of their labels; no frame at the top and at the right."""
    axes.set_facecolor(theme.paper)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.muted, labelcolor=theme.ink, labelsize=9.5)
    axes.xaxis.label.set(color=theme.ink, fontsize=10)
    axes.yaxis.label.set(color=theme.ink, fontsize=10)
    for side, spine in axes.spines.items():
        spine.set_color(theme.muted)
        spine.set_visible(side in ("left", "bottom"))


def render(template: str, now: datetime, **words: object) -> str:
    """A page as HTML.

    Args:
        template: its file in this folder; it extends page.html.j2.
        now: the date on the page.
        words: what the template says, everything escaped; `figures` are Pictures by name.
    """
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "num": decimals,
        "count": lambda value: f"{value:,}",
        "percent": lambda share: f"{100 * share:.1f} %",
        "significant": significant,
        "duration": duration,
        "formula": formula_html,
        "spacegroup": spacegroup,
    }
    date = now.strftime("%Y-%m-%d %H:%M %Z").strip()
    return environment.get_template(template).render(date=date, light=LIGHT, dark=DARK, **words)


def formula_html(formula: str) -> Markup:
    """A chemical formula with its numbers as subscripts; everything else is escaped."""
    return Markup(re.sub(r"(?<=[A-Za-z)])(\d+(?:\.\d+)?)", r"<sub>\1</sub>", str(escape(formula))))


def spacegroup(value: int | None) -> str:
    """Number and symbol of a space group."""
    if value is None or not 1 <= value <= 230:
        return NONE
    return f"{value} {sg_symbol_from_int_number(value).removesuffix(':H')}"
