"""What evaluation leaves behind, as dataclasses that go to JSON and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from fettle.errors import ArtifactError
from fettle.evaluate.classification import ClassificationMetrics
from fettle.evaluate.detection import DetectionMetrics
from fettle.evaluate.embedding import EmbeddingMetrics
from fettle.evaluate.intervals import Interval, PairedDifference
from fettle.evaluate.parity import Parity
from fettle.evaluate.predictions import Thresholds

METRICS, BENCHMARK, SELECTION = "metrics.json", "benchmark.json", "selection.json"
Metrics = Annotated[ClassificationMetrics | DetectionMetrics | EmbeddingMetrics, Field(discriminator="task")]
T = TypeVar("T")


@dataclass(frozen=True)
class Validation:
    """``metrics.json``: an export in one runtime on the test and val splits.

    Attributes:
        test: What the gates see.
        val: What thresholds were fitted on; ``None`` where there is no such image.
        reference: Candidate that ``parity``, on test, is with.
        exported: Thresholds that the export has; empty where the task has none.
        thresholds: Those that the served file shall have, fitted on val. Metrics and gates are about these.
    """

    candidate: str
    recipe: str
    runtime: str
    precision: str
    task: str
    classes: tuple[str, ...]
    test: Metrics
    val: Metrics | None = None
    reference: str | None = None
    parity: Parity | None = None
    exported: Thresholds = field(default_factory=dict)
    thresholds: Thresholds = field(default_factory=dict)


@dataclass(frozen=True)
class Timing:
    """How fast one candidate is.

    Attributes:
        p50_ms, p95_ms: Latency at batch 1 over all calls.
        p95_interval: 95% bootstrap interval of ``p95_ms`` over rounds.
        calls: Calls that were timed at batch 1.
        throughput: Images/s by batch size.
        round_ms: Milliseconds an image by batch size, the median of each round, for paired comparison.
        load_ms: From the file to an engine that answers.
        memory_mb: Peak resident memory of a fresh process above that of the imported runtime.
        size_mb: Of the model's files, in 10^6 bytes.
        arithmetic: What the runtime computes in, where it chooses.
    """

    p50_ms: float
    p95_ms: float
    p95_interval: Interval
    calls: int
    throughput: Mapping[int, float]
    round_ms: Mapping[int, tuple[float, ...]]
    load_ms: float | None = None
    memory_mb: float | None = None
    size_mb: float | None = None
    arithmetic: str | None = None

    @property
    def best_throughput(self) -> float:
        return max(self.throughput.values())


@dataclass(frozen=True)
class Benchmark:
    """``benchmark.json``: all candidates on one machine, interleaved; ``extra`` are not candidates."""

    candidates: Mapping[str, Timing]
    threads: int
    rounds: int
    batches: tuple[int, ...]
    hardware: Mapping[str, object]
    skipped: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Timing] = field(default_factory=dict)


@dataclass(frozen=True)
class GateVerdict:
    """One gate: ``words`` say what was asked, what was measured, and how sure that is."""

    name: str
    passed: bool
    words: str


@dataclass(frozen=True)
class Candidate:
    """One row of the table.

    Attributes:
        export: Digest of the export artifact.
        scores: By measure (:mod:`fettle.evaluate.measures`), the task's headline first.
        differences: To the baseline's scores, by measure, the headline first; empty for the baseline itself.
        thresholds: Those that the served file shall have.
        parent: Candidate that this one was made from, in the same runtime where there is one.
        gain: What the optimization brought against its parent, in words.
        dropped: Why it is no choice although it was made; ``None`` if it is one.
    """

    name: str
    recipe: str
    runtime: str
    precision: str
    export: str
    scores: Mapping[str, float | None]
    p50_ms: float
    p95_ms: float
    throughput: Mapping[int, float]
    size_mb: float
    memory_mb: float | None
    load_ms: float | None
    differences: Mapping[str, PairedDifference] = field(default_factory=dict)
    thresholds: Thresholds = field(default_factory=dict)
    parity: Parity | None = None
    gates: tuple[GateVerdict, ...] = ()
    parent: str | None = None
    gain: str | None = None
    dropped: str | None = None

    @property
    def score(self) -> float:
        """The headline measure."""
        return next(iter(self.scores.values())) or 0.0

    @property
    def difference(self) -> PairedDifference | None:
        """That of the headline measure to the baseline's."""
        return next(iter(self.differences.values()), None)

    @property
    def passed(self) -> bool:
        return all(gate.passed for gate in self.gates)

    @property
    def eligible(self) -> bool:
        return self.passed and self.dropped is None

    @property
    def best_throughput(self) -> float:
        return max(self.throughput.values())


@dataclass(frozen=True)
class Pick:
    """What a profile would serve, and why; ``candidate`` is ``None`` where nothing passes."""

    profile: str
    candidate: str | None
    reason: str


@dataclass(frozen=True)
class Selection:
    """``selection.json``: every candidate, the choice and the reason."""

    task: str
    profile: str
    baseline: str
    winner: str | None
    sentence: str
    candidates: tuple[Candidate, ...]
    pareto: tuple[str, ...]
    picks: tuple[Pick, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    def candidate(self, name: str) -> Candidate:
        """Return the row of that name.

        Raises:
            KeyError: If there is none.
        """
        return {row.name: row for row in self.candidates}[name]


def save(file: Path, value: object) -> None:
    """Write a dataclass of this module as JSON."""
    file.write_bytes(TypeAdapter(type(value)).dump_json(value, indent=1) + b"\n")


def load(file: Path, kind: type[T]) -> T:
    """Read a dataclass of this module.

    Raises:
        ArtifactError: If the file is missing or holds something else.
    """
    try:
        return TypeAdapter(kind).validate_json(file.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{file} does not exist: run the step that makes it.") from None
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{file} is not a {kind.__name__.lower()} ({reason}): make the artifact again.") from None
