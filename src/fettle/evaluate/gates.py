"""Gates: what a candidate must hold, judged in words."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fettle.evaluate import words
from fettle.evaluate.evidence import Evidence
from fettle.evaluate.measures import MEASURES
from fettle.evaluate.outcomes import Score
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


def drop_of(index: int, key: str) -> Gate:
    """Return the gate that holds a measure of the task, by its place, against the baseline's on the same images."""

    def gate(candidate: Evidence, baseline: Evidence, config: GateConfig) -> GateVerdict | None:
        limit: float | None = getattr(config, key)
        if limit is None:
            return None
        if candidate.name == baseline.name:
            return GateVerdict(key, True, "It is the baseline, which the others are compared with.")
        differences = candidate.outcome.against(baseline.outcome, max_drop=limit, confidence=config.confidence)
        measure = MEASURES[candidate.validation.task][index]
        paired = differences[measure.name]
        judged = paired.interval.low if config.strict else paired.interval.estimate
        asked = f"the lower end of the interval of {measure}" if config.strict else measure
        return GateVerdict(
            key,
            judged >= -limit - ROUNDING,
            f"Asked: {asked} may be at most {limit * 100:.2f} points below {baseline.name}. "
            f"Measured: {words.difference(paired)}. "
            f"Probability that the drop is within the limit: {paired.probability:.0%}.",
        )

    return gate


def min_score(index: int, key: str) -> Gate:
    """Return the gate that holds a measure of the task, by its place, on its own against ``key`` of the config."""

    def gate(candidate: Evidence, _: Evidence, config: GateConfig) -> GateVerdict | None:
        floor: float | None = getattr(config, key)
        if floor is None:
            return None
        measure = MEASURES[candidate.validation.task][index]
        score = candidate.outcome.scores(confidence=config.confidence)[measure.name]
        return GateVerdict(
            key,
            score.interval.estimate >= floor - ROUNDING,
            f"Asked: {measure} of at least {words.percent(floor)}. Measured: {_score_words(score)}.",
        )

    return gate


def class_floor(candidate: Evidence, baseline: Evidence, config: GateConfig) -> GateVerdict | None:
    """The score of every class; one that is below the floor in the baseline too must not fall further."""
    if config.class_floor is None:
        return None
    classes = candidate.validation.classes
    found = (candidate.outcome.class_score(label, confidence=config.confidence) for label in range(len(classes)))
    scores = {label: score for label, score in enumerate(found) if score is not None}
    failures = [
        f"{classes[label]!r} has {failure}"
        for label, score in scores.items()
        if (failure := _class_failure(candidate, baseline, label, score, config))
    ]
    lowest = min(scores, key=lambda label: scores[label].interval.estimate)
    measured = "; ".join(failures) or f"the lowest is {classes[lowest]!r} with {_score_words(scores[lowest])}"
    return GateVerdict(
        "class_floor",
        not failures,
        f"Asked: {candidate.outcome.class_measure} of at least {words.percent(config.class_floor)} in every class, or "
        f"not measurably below {baseline.name} where that is lower. Measured: {measured}.",
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


def _class_failure(candidate: Evidence, baseline: Evidence, label: int, score: Score, config: GateConfig) -> str | None:
    """Say how a class is below its floor, or ``None``.

    Where the baseline is below the floor too, chance alone would fail every other candidate by an image: what
    counts is a fall that the paired interval tells from none.
    """
    floor = (config.class_floor or 0.0) - ROUNDING
    if score.interval.estimate >= floor:
        return None
    theirs = baseline.outcome.class_score(label, confidence=config.confidence)
    if theirs and theirs.interval.estimate >= floor:
        return f"{_score_words(score)}, {baseline.name} has {words.percent(theirs.interval.estimate)}"
    paired = candidate.outcome.class_against(baseline.outcome, label, confidence=config.confidence)
    if paired.interval.high >= 0:
        return None
    return f"{_score_words(score)}, against {baseline.name} {words.difference(paired)}"


def _score_words(score: Score) -> str:
    return f"{words.percent(score.interval.estimate)}, {score.basis} ({words.between(score.interval)})"


max_drop = drop_of(0, "max_drop")
GATES: Mapping[str, tuple[Gate, ...]] = MappingProxyType(
    {
        "classify": (max_drop, min_score(0, "min_accuracy"), class_floor, latency_p95, max_size),
        "detect": (max_drop, min_score(0, "min_map50"), class_floor, latency_p95, max_size),
        "embed": (
            max_drop,
            drop_of(1, "max_tar_drop"),
            min_score(0, "min_rank1"),
            min_score(1, "min_tar"),
            class_floor,
            latency_p95,
            max_size,
        ),
    }
)
