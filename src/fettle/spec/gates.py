"""``gates``: what a candidate must hold on the test split to be served."""

from typing import Annotated

from pydantic import Field

from fettle.spec.base import Section


class GateConfig(Section):
    """The floors. A gate that is ``null`` is not asked."""

    max_drop: float = Field(0.01, ge=0, le=1)
    """Largest accuracy (for detectors mAP50, for embeddings rank-1) that may be lost against the baseline, measured on
    the same images."""
    max_tar_drop: float | None = Field(0.02, ge=0, le=1)
    """For embeddings: largest TAR at FAR .01 that may be lost against the baseline."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Confidence of the paired bootstrap interval."""
    strict: bool = False
    """Judge ``max_drop`` by the lower end of the interval instead of the measured difference."""
    min_accuracy: float | None = Field(None, ge=0, le=1)
    """Smallest accuracy on its own."""
    min_map50: float | None = Field(None, ge=0, le=1)
    """For detectors: smallest mAP50 on its own."""
    min_rank1: float | None = Field(None, ge=0, le=1)
    """For embeddings: smallest rank-1 on its own."""
    min_tar: float | None = Field(None, ge=0, le=1)
    """For embeddings: smallest TAR at FAR .01 on its own."""
    class_floor: float | None = Field(0.8, ge=0, le=1)
    """Smallest recall (for detectors AP50, for embeddings rank-1) of any class; one that the baseline itself does not
    bring there must not fall further, beyond what chance explains."""
    latency_p95_ms: float | None = Field(None, gt=0)
    """Largest 95th percentile of the latency at batch 1."""
    max_size_mb: float | None = Field(None, gt=0)
    """Largest size on disk."""


class BenchmarkConfig(Section):
    """How latency is measured: all candidates interleaved, threads pinned."""

    batches: list[Annotated[int, Field(ge=1, le=1024)]] = [1, 4, 16]
    """Batch sizes for throughput; 1 is always measured."""
    rounds: int = Field(30, ge=3)
    """Rounds of the interleaving; each runs every candidate a few times."""
    threads: int | None = Field(None, ge=1)
    """Threads a candidate may use; by default the cores of the machine."""
