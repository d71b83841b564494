"""The plots of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from fettle.evaluate.classification import ClassificationMetrics
from fettle.evaluate.measures import headline
from fettle.evaluate.results import Candidate, Selection
from fettle.report.figure import GOOD, INK, MUTED, PAPER, SERIES, axes, style, svg
from fettle.report.table import standing


def pareto(selection: Selection) -> Markup:
    """The headline score over latency; a circle's area is the size on disk, its number the row of the table."""
    with style():
        plot, measure = axes(), headline(selection.task)
        runtimes = list(dict.fromkeys(row.runtime for row in selection.candidates))
        front = sorted((row.p50_ms, row.score) for row in selection.candidates if row.name in selection.pareto)
        plot.plot(*zip(*front, strict=True), color=MUTED, linewidth=1, linestyle="--", zorder=1)
        by_latency = sorted(enumerate(selection.candidates, 1), key=lambda item: item[1].p50_ms)
        for rank, (number, row) in enumerate(by_latency):
            colour = SERIES[runtimes.index(row.runtime) % len(SERIES)]
            _circle(plot, row, selection, colour=colour, label=str(number), above=rank % 2 == 0)
        for index, runtime in enumerate(runtimes):
            plot.scatter([], [], color=SERIES[index % len(SERIES)], label=runtime)
        legend_above(plot, columns=3)
        log_milliseconds(plot)
        plot.margins(0.14, 0.2)
        plot.set_ylabel(f"test {measure}")
        plot.yaxis.set_major_formatter(PercentFormatter(1))
        return svg(plot, label=f"{measure.title} over latency of all candidates, with the Pareto front")


def _circle(plot: Axes, row: Candidate, selection: Selection, *, colour: str, label: str, above: bool) -> None:
    """Draw one candidate; neighbours have their labels above and below in turn, and small ones lie on large ones."""
    largest = max(other.size_mb for other in selection.candidates) or 1.0
    share, state = row.size_mb / largest, standing(row, selection)
    area, is_choice, is_winner = 40 + 360 * share, state in ("winner", "passes"), state == "winner"
    plot.scatter(
        row.p50_ms, row.score, s=area, zorder=4 - share, color=colour if is_choice else PAPER, alpha=0.8,
        edgecolors=INK if is_winner else colour, linewidths=2.2 if is_winner else 1.2,
    )  # fmt: skip
    label_beside(
        plot, label, (row.p50_ms, row.score), offset=area**0.5 / 2 + 3, above=above,
        zorder=5, fontsize=8.5, color=INK, fontweight="bold" if is_winner else None,
    )  # fmt: skip


def label_beside(
    plot: Axes, label: str, point: tuple[float, float], *, offset: float, above: bool, **text: Any
) -> None:
    """Write a label above or below a point, ``offset`` typographic points from it."""
    plot.annotate(
        label, point, (0, offset if above else -offset), textcoords="offset points",
        ha="center", va="bottom" if above else "top", **text,
    )  # fmt: skip


def accuracy_curves(history: Sequence[Mapping[str, float]], *, train: str, val: str) -> Markup:
    """Accuracy on train (without augmentation) and val over epochs; the band between them is the gap."""
    with style():
        plot = axes()
        epochs = [row["epoch"] for row in history]
        seen, unseen = ([row[key] for row in history] for key in (train, val))
        plot.fill_between(epochs, seen, unseen, color=SERIES[0], alpha=0.12, linewidth=0, label="gap")
        plot.plot(epochs, seen, color=SERIES[1], label="train, not augmented")
        plot.plot(epochs, unseen, color=SERIES[0], label="val")
        plot.legend()
        plot.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        return _over_epochs(plot, "Accuracy", "Accuracy on train and val by epoch")


def curves(history: Sequence[Mapping[str, float]], keys: Mapping[str, str], *, title: str, log: bool = False) -> Markup:
    """Any values over epochs; ``keys`` maps a key of the history to its name."""
    with style():
        plot = axes()
        for colour, (key, name) in zip(SERIES, keys.items(), strict=False):
            rows = [row for row in history if row.get(key) is not None]
            plot.plot([row["epoch"] for row in rows], [row[key] for row in rows], color=colour, label=name)
        if log:
            plot.set_yscale("log")
            _plain(plot.yaxis)
        if len(keys) > 1:
            plot.legend()
        return _over_epochs(plot, title, f"{title} by epoch")


def reliability(metrics: Mapping[str, ClassificationMetrics]) -> Markup:
    """Accuracy over confidence; on the diagonal a model is as often right as it says."""
    with style():
        plot = axes()
        plot.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="as right as it says")
        for colour, (name, found) in zip(SERIES, metrics.items(), strict=False):
            bins = [each for each in found.reliability if each.count]
            sizes = [18 + 160 * each.count / found.count for each in bins]
            points = ([each.confidence for each in bins], [each.accuracy for each in bins])
            plot.plot(*points, color=colour, label=f"{name}: ECE {found.ece:.3f}")
            plot.scatter(*points, s=sizes, color=colour, alpha=0.8)
        plot.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1.03), ylim=(0, 1.03))
        plot.legend(loc="upper left")
        return svg(plot, label="Reliability diagram: accuracy over confidence")


def trials(values: Mapping[int, float], *, metric: str, minimize: bool) -> Markup:
    """The objective of each completed trial by number, and the best so far; trial 0 is the default."""
    with style():
        plot = axes()
        numbers, found = zip(*sorted(values.items()), strict=True)
        best = (np.minimum if minimize else np.maximum).accumulate(found)
        plot.scatter(numbers, found, color=SERIES[0], s=22, alpha=0.7, label="trial")
        plot.step(numbers, best, where="post", color=GOOD, label="best so far")
        if numbers[0] == 0:
            plot.axhline(found[0], color=MUTED, linewidth=1, linestyle="--", label="default (trial 0)")
        plot.set(xlabel="trial", ylabel=metric)
        plot.xaxis.set_major_locator(MaxNLocator(integer=True))
        plot.legend()
        return svg(plot, label=f"{metric} of each trial")


def importances(shares: Mapping[str, float]) -> Markup:
    """How much of the spread of the objective each key explains."""
    with style():
        ordered = sorted(shares.items(), key=lambda item: item[1])
        plot = axes(height=1.0 + 0.3 * len(ordered))
        bars = plot.barh([key for key, _ in ordered], [share for _, share in ordered], color=SERIES[0], height=0.6)
        plot.bar_label(bars, fmt="{:.0%}", padding=3, color=INK)
        plot.grid(axis="y", visible=False)
        plot.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        plot.set_xlim(0, 1.1 * max(shares.values()) or 1)
        return svg(plot, label="Importance of the searched keys")


def class_counts(counts: Mapping[str, Mapping[str, int]], classes: Sequence[str], *, unit: str = "images") -> Markup:
    """Images or boxes of each class by split."""
    with style():
        plot = axes(height=1.2 + 0.32 * len(classes))
        left = np.zeros(len(classes))
        for colour, (split, by_class) in zip(SERIES, counts.items(), strict=False):
            widths = np.array([by_class.get(name, 0) for name in classes])
            plot.barh(range(len(classes)), widths, left=left, color=colour, height=0.62, label=split)
            left += widths
        plot.set_yticks(range(len(classes)), classes)
        plot.invert_yaxis()
        plot.grid(axis="y", visible=False)
        plot.set_xlabel(unit)
        legend_above(plot, columns=4)
        return svg(plot, label=f"{unit.capitalize()} of each class by split")


def throughput(selection: Selection, names: Sequence[str]) -> Markup:
    """Images a second over batch size."""
    with style():
        plot = axes()
        for colour, name in zip(SERIES, names, strict=False):
            rates = selection.candidate(name).throughput
            plot.plot(list(rates), list(rates.values()), color=colour, marker="o", markersize=4, label=name)
        plot.set_xscale("log", base=2)
        plot.set_xticks(list(selection.candidate(names[0]).throughput))
        plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        plot.set_ylim(bottom=0)
        plot.set(xlabel="batch size", ylabel="images a second")
        legend_above(plot, columns=2)
        return svg(plot, label="Throughput over batch size")


def legend_above(plot: Axes, *, columns: int) -> None:
    plot.legend(
        ncols=columns,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        handlelength=1.2,
        handletextpad=0.5,
        columnspacing=1,
    )


def _over_epochs(plot: Axes, title: str, label: str) -> Markup:
    plot.set_title(title)
    plot.set_xlabel("epoch")
    plot.xaxis.set_major_locator(MaxNLocator(integer=True))
    return svg(plot, label=label)


def _plain(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def log_milliseconds(plot: Axes) -> None:
    """Latencies differ by factors; plain numbers on the axis all the same."""
    plot.set_xscale("log")
    _plain(plot.xaxis)
    plot.set_xlabel("median latency at batch 1, ms (logarithmic)")
