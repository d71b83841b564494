"""The plots of boxes: where they are, how large, how many."""

import numpy as np
from markupsafe import Markup
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fettle.data.boxes import Boxes
from fettle.report.figure import SERIES, axes, style, svg

BINS = 24
HEAT = LinearSegmentedColormap.from_list("heat", ["#dbe9f6", "#08306b"])


def places(boxes: Boxes, *, side: int) -> Markup:
    """How many boxes have their centre in each part of the image."""
    x, y = ((boxes.xyxy[:, 2:] + boxes.xyxy[:, :2]) / 2 / side).T
    return _heat(
        x, y, title="Centres", names=("x", "y"), label="Number of boxes by the place of their centre", flip=True
    )


def shapes(boxes: Boxes, *, side: int) -> Markup:
    """How many boxes have each width and height."""
    width, height = ((boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]) / side).T
    return _heat(width, height, title="Sizes", names=("width", "height"), label="Number of boxes by width and height")


def crowding(boxes: Boxes) -> Markup:
    """How many images have so many boxes; 0 is background."""
    with style():
        plot = axes()
        counts = boxes.counts
        most = int(counts.max())
        bins = [count - 0.5 for count in range(most + 2)] if most <= 2 * BINS else BINS
        plot.hist(counts, bins=bins, color=SERIES[0], rwidth=0.9)
        plot.set_title("Boxes an image")
        plot.set(xlabel="boxes", ylabel="images")
        for axis in (plot.xaxis, plot.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        return svg(plot, label="Number of images by their number of boxes")


def _heat(
    x: np.ndarray, y: np.ndarray, *, title: str, names: tuple[str, str], label: str, flip: bool = False
) -> Markup:
    with style():
        plot = axes()
        counts, _, _ = np.histogram2d(y, x, bins=BINS, range=((0, 1), (0, 1)))
        edges = np.linspace(0, 1, BINS + 1)
        norm = LogNorm(1, max(counts.max(), 2))
        plot.pcolormesh(edges, edges, np.ma.masked_equal(counts, 0), cmap=HEAT, norm=norm)
        plot.set_title(title)
        plot.set(xlabel=f"{names[0]}, share of the image", ylabel=names[1], aspect="equal")
        for axis in (plot.xaxis, plot.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
        if flip:
            plot.invert_yaxis()
        return svg(plot, label=label)
