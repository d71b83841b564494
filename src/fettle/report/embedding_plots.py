"""The plots of embeddings."""

from collections.abc import Mapping

from markupsafe import Markup
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from fettle.evaluate.embedding import EmbeddingMetrics
from fettle.report.figure import SERIES, axes, style, svg


def roc(metrics: Mapping[str, EmbeddingMetrics]) -> Markup:
    """True accepts over false accepts, which are few where it matters: a logarithmic axis."""
    with style():
        plot = axes()
        for colour, (name, found) in zip(SERIES, metrics.items(), strict=False):
            far, tar = zip(*found.roc, strict=True)
            plot.plot(far, tar, color=colour, label=f"{name}: EER {found.eer:.1%}")
        plot.set_xscale("log")
        plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        plot.set(xlabel="false accepts (FAR)", ylabel="true accepts (TAR)", ylim=(0, 1.03))
        plot.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        plot.legend(loc="lower right")
        return svg(plot, label="True accepts over false accepts")


def cmc(metrics: Mapping[str, EmbeddingMetrics]) -> Markup:
    """Share of the queries with their identity among the first ranks."""
    with style():
        plot = axes()
        for colour, (name, found) in zip(SERIES, metrics.items(), strict=False):
            plot.plot(range(1, len(found.cmc) + 1), found.cmc, color=colour, marker="o", markersize=3, label=name)
        plot.set(xlabel="rank", ylabel="identity found")
        plot.xaxis.set_major_locator(MaxNLocator(integer=True))
        plot.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        plot.legend(loc="lower right")
        return svg(plot, label="Identities found over rank")
