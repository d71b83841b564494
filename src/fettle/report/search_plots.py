"""The plots of a search."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from fettle.report.figure import GOOD, INK, MUTED, SERIES, axes, style, svg
from fettle.report.plots import label_beside, legend_above, log_milliseconds
from fettle.search.trials import BRIEF, FITTED, FULL, WHOLE

LEVELS = {FITTED: "fitted", BRIEF: "trained briefly", FULL: "trained in full"}


def front(told: Mapping[str, Any]) -> Markup:
    """The score on val over latency, of the whole network in its forms and of every trial that was trained."""
    with style():
        plot = axes()
        plot.axhline(told["floor"], color=GOOD, linewidth=1, linestyle="--", label="good enough")
        whole = told["whole"]
        plot.scatter(
            [each["ms"] for each in whole], [each["score"] for each in whole], color=INK, marker="s", s=30, label=WHOLE
        )
        trials = sorted((trial for trial in told["trials"] if trial["rungs"]), key=lambda trial: trial["measured_ms"])
        for rank, trial in enumerate(trials):
            _rise(plot, trial, above=rank % 2 == 0)
        for level, name in LEVELS.items():
            points = [(trial["measured_ms"], rung["score"])
                      for trial in trials for rung in trial["rungs"] if rung["level"] == level]  # fmt: skip
            if points:
                times, scores = zip(*points, strict=True)
                plot.scatter(times, scores, color=SERIES[level - 1], s=24, alpha=0.8, label=name)
        legend_above(plot, columns=3)
        log_milliseconds(plot)
        plot.set_ylabel("score on val")
        plot.yaxis.set_major_formatter(PercentFormatter(1))
        return svg(plot, label="Score over latency of the trials of the search")


def _rise(plot: Axes, trial: Mapping[str, Any], *, above: bool) -> None:
    """Join the scores of one trial; neighbours have their numbers above and below in turn."""
    time, scores = trial["measured_ms"], [rung["score"] for rung in trial["rungs"]]
    low, high = min(scores), max(scores)
    plot.plot([time, time], [low, high], color=MUTED, linewidth=0.8, zorder=1)
    point = (time, high if above else low)
    label_beside(plot, str(trial["number"]), point, offset=4, above=above, fontsize=7, color=MUTED)


def predictions(pairs: Sequence[tuple[float, float]]) -> Markup:
    """Measured over expected latency (ms), of pairs of expected and measured, with a band of 10%."""
    with style():
        plot = axes()
        expected, measured = zip(*pairs, strict=True)
        ends = [0.9 * min(*expected, *measured), 1.1 * max(*expected, *measured)]
        plot.plot(ends, ends, color=MUTED, linewidth=1)
        plot.fill_between(ends, [0.9 * end for end in ends], [1.1 * end for end in ends], color=MUTED, alpha=0.15)
        plot.scatter(expected, measured, color=SERIES[0], s=24, alpha=0.8)
        plot.set(xlabel="expected latency (ms)", ylabel="measured (ms)", title="Expected and measured, 10% beside")
        return svg(plot, label="Measured over expected latency of the trials")
