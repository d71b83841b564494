"""Gates: what a candidate must hold, judged in words."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fettle.evaluate import words
from fettle.evaluate.evidence import Evidence
from fettle.evaluate.intervals import paired_difference, share_interval
from fettle.evaluate.results import GateVerdict
from fettle.spec import GateConfig

Gate = Callable[[Evidence, Evidence, GateConfig], GateVerdict | None]
ROUNDING = 1e-9  # 199 of 200 right is a drop of 0.005, whatever binary fractions make of it


def judge(candidate: Evidence, baseline: Evidence, config: GateConfig) -> tuple[GateVerdict, ...]:
    """Ask all gates of the candidate's task; a gate that is not configured, or does not apply, gives no verdict.

    Args:
        candidate: Who is judged.
        baseline: Who it is compared with; the baseline itself passes what is relative to it.
        config: The floors.
    """
    verdicts = (gate(candidate, baseline, config) for gate in GATES[candidate.validation.task])
    return tuple(verdict for verdict in verdicts if verdict is not None)


def max_drop(candidate: Evidence, baseline: Evidence, config: GateConfig) -> GateVerdict:
    """Accuracy against the baseline's, image by image."""
    if candidate.name == baseline.name:
        return GateVerdict("max_drop", True, "It is the baseline, which the others are compared with.")
    paired = paired_difference(
        candidate.correct, baseline.correct, max_drop=config.max_drop, confidence=config.confidence
    )
    judged = paired.interval.low if config.strict else paired.interval.estimate
    asked = "the lower end of the interval may be" if config.strict else "accuracy may be"
    return GateVerdict(
        "max_drop",
        judged >= -config.max_drop - ROUNDING,
        f"Asked: {asked} at most {config.max_drop * 100:.2f} points below {baseline.name}. "
        f"Measured: {words.difference(paired)}. "
        f"Probability that the drop is within the limit: {paired.probability:.0%}.",
    )


def min_accuracy(candidate: Evidence, _: Evidence, config: GateConfig) -> GateVerdict | None:
    """Accuracy on its own."""
    if config.min_accuracy is None:
        return None
    right, count = int(candidate.correct.sum()), len(candidate.correct)
    interval = share_interval(right, count, confidence=config.confidence)
    return GateVerdict(
        "min_accuracy",
        interval.estimate >= config.min_accuracy - ROUNDING,
        f"Asked: accuracy of at least {words.percent(config.min_accuracy)}. "
        f"Measured: {words.percent(interval.estimate)}, {right} of {count} images ({words.between(interval)}).",
    )


def class_floor(candidate: Evidence, baseline: Evidence, config: GateConfig) -> GateVerdict | None:
    """Recall of every class; one that is below the floor in the baseline too must not fall further."""
    if config.class_floor is None:
        return None
    failures = [
        failure
        for label, name in enumerate(candidate.validation.classes)
        if (failure := _class_failure(candidate, baseline, label, name, config))
    ]
    lowest = min(
        (report for report in candidate.validation.test.per_class if report.support),
        key=lambda report: report.recall,
    )
    measured = (
        "; ".join(failures) or f"the lowest is {lowest.name!r} with {_recall_words(candidate, lowest.name, config)}"
    )
    return GateVerdict(
        "class_floor",
        not failures,
        f"Asked: recall of at least {words.percent(config.class_floor)} in every class, or not measurably below "
        f"{baseline.name} where that is lower. Measured: {measured}.",
    )


def latency_p95(candidate: Evidence, _: Evidence, config: GateConfig) -> GateVerdict | None:
    """Latency at batch 1."""
    if config.latency_p95_ms is None:
        return None
    timing = candidate.timing
    interval = timing.p95_interval
    return GateVerdict(
        "latency_p95",
        timing.p95_ms <= config.latency_p95_ms,
        f"Asked: 95% of single images within {words.milliseconds(config.latency_p95_ms)}. "
        f"Measured: {words.milliseconds(timing.p95_ms)} over {timing.calls} calls ({interval.confidence:.0%} interval "
        f"{words.milliseconds(interval.low)} to {words.milliseconds(interval.high)}).",
    )


def max_size(candidate: Evidence, _: Evidence, config: GateConfig) -> GateVerdict | None:
    """Size on disk, which is exact."""
    if config.max_size_mb is None:
        return None
    return GateVerdict(
        "max_size",
        candidate.size_mb <= config.max_size_mb,
        f"Asked: at most {words.megabytes(config.max_size_mb)} on disk. "
        f"Measured: {words.megabytes(candidate.size_mb)}.",
    )


def _class_failure(candidate: Evidence, baseline: Evidence, label: int, name: str, config: GateConfig) -> str | None:
    """Say how a class is below its floor, or ``None``.

    Where the baseline is below the floor too, chance alone would fail every other candidate by an image: what
    counts is a fall that the paired interval of the recall tells from none.
    """
    rows = candidate.labels == label
    if not rows.any():
        return None
    mine, theirs = candidate.correct[rows], baseline.correct[rows]
    floor = (config.class_floor or 0.0) - ROUNDING
    if mine.mean() >= floor:
        return None
    recall = f"{name!r} has {_recall_words(candidate, name, config)}"
    if theirs.mean() >= floor:
        return f"{recall}, {baseline.name} has {words.percent(float(theirs.mean()))}"
    paired = paired_difference(mine, theirs, confidence=config.confidence)
    return f"{recall}, against {baseline.name} {words.difference(paired)}" if paired.interval.high < 0 else None


def _recall_words(candidate: Evidence, name: str, config: GateConfig) -> str:
    report = next(report for report in candidate.validation.test.per_class if report.name == name)
    right = round(report.recall * report.support)
    interval = share_interval(right, report.support, confidence=config.confidence)
    return f"{words.percent(report.recall)}, {right} of {report.support} images ({words.between(interval)})"


GATES: Mapping[str, tuple[Gate, ...]] = MappingProxyType(
    {"classify": (max_drop, min_accuracy, class_floor, latency_p95, max_size)}
)
