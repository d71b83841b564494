"""What each task is scored by: the one place that names its measures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fettle.evaluate import words


@dataclass(frozen=True)
class Measure:
    """A number that tells how good a model is.

    Attributes:
        name: Field of the task's metrics.
        title: Heading of its line in a table.
        show: The value in words.
        change: What the way from the first value to the second is, in words.
        word: What it is called in a sentence; by default its title.
    """

    name: str
    title: str
    show: Callable[[float], str] = words.percent
    change: Callable[[float, float], str] = words.points_between
    word: str = ""

    def __str__(self) -> str:
        return self.word or self.title


# The first is the headline: gates, profiles and the Pareto front go by it. More is better, but of "ece" and "eer".
MEASURES: Mapping[str, tuple[Measure, ...]] = MappingProxyType(
    {
        "classify": (
            Measure("accuracy", "Accuracy", word="accuracy"),
            Measure("macro_f1", "Macro F1", word="macro F1"),
            Measure("auroc", "AUROC", "{:.4f}".format, words.change(4)),
            Measure("ece", "Calibration error", "{:.3f}".format, words.change(3)),
        ),
        "detect": (
            Measure("map50", "mAP50"),
            Measure("map50_95", "mAP50-95"),
            Measure("precision", "Precision", word="precision"),
            Measure("recall", "Recall", word="recall"),
            Measure("f1", "F1"),
        ),
        "embed": (
            Measure("rank1", "Rank-1", word="rank-1"),
            Measure("tar", "TAR at FAR .01"),
            Measure("tar_1e3", "TAR at FAR .001"),
            Measure("map_at_r", "MAP@R"),
            Measure("eer", "Equal error rate"),
        ),
    }
)


def headline(task: str) -> Measure:
    """Return what a task is judged by."""
    return MEASURES[task][0]
