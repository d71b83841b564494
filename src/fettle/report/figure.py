"""Matplotlib figures as SVG that takes the colours of the page, light or dark, and needs nothing outside it."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Drawn in these, replaced by the page's variables: a plot follows the reader's colour scheme.
INK, MUTED, RULE, PAPER = "#010101", "#020202", "#030303", "#040404"
FIRST, SECOND, THIRD, FOURTH, GOOD, BAD = "#050501", "#050502", "#050503", "#050504", "#050505", "#050506"
SERIES = (FIRST, SECOND, THIRD, FOURTH)
VARIABLES = {
    INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper", FIRST: "--series-1", SECOND: "--series-2",
    THIRD: "--series-3", FOURTH: "--series-4", GOOD: "--good", BAD: "--bad",
}  # fmt: skip
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "fettle", "font.family": "sans-serif", "font.size": 9.5,
    "text.parse_math": False, "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": RULE,
    "axes.facecolor": "none", "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10,
    "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlecolor": INK, "axes.grid": True,
    "axes.axisbelow": True, "grid.color": RULE, "grid.linewidth": 0.6, "xtick.color": RULE, "ytick.color": RULE,
    "xtick.labelcolor": MUTED, "ytick.labelcolor": MUTED, "legend.frameon": False, "legend.labelcolor": INK,
    "legend.fontsize": 9, "lines.linewidth": 1.8, "figure.facecolor": "none", "figure.constrained_layout.use": True,
}  # fmt: skip
WIDTH, HEIGHT = 4.7, 3.3  # inches: type stays legible when the plot shrinks to a phone's width


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the report; figures must also be rendered inside."""
    with mpl.rc_context(STYLE):
        yield


def axes(width: float = WIDTH, height: float = HEIGHT) -> Axes:
    """Return the axes of a new figure, sized in inches."""
    plot: Axes = Figure(figsize=(width, height)).subplots()
    return plot


def svg(plot: Axes, *, label: str) -> Markup:
    """Return the figure as an ``<svg>`` element; ``label`` tells it to who cannot see it."""
    figure = plot.figure.get_figure(root=True)
    assert isinstance(figure, Figure)
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return Markup(text.replace("<svg", Markup('<svg role="img" aria-label="{}"').format(label), 1))
