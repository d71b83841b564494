"""Metrics and outcome of embeddings; the threshold that is fitted on val."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from fettle.data.similarity import FALSE_ACCEPTS, Similarities
from fettle.evaluate.embedding import EmbeddingMetrics
from fettle.evaluate.intervals import Interval, PairedDifference, paired_difference, resampled_difference, tails
from fettle.evaluate.outcomes import ImageOutcome, Score
from fettle.evaluate.parity import Parity
from fettle.evaluate.predictions import Arrays, Thresholds

log = logging.getLogger("fettle")

STRICT_FALSE_ACCEPTS = 0.001
RANKS = 10
ROC = np.geomspace(1e-4, 1, 41)
RESAMPLES = 2000


def read_similarities(predictions: Arrays, _: int) -> Similarities:
    """Return what predictions hold, each picture against each."""
    return Similarities.of(predictions["embedding"], predictions["truth_labels"])


def fit_similarity(found: Similarities, thresholds: Thresholds) -> Thresholds:
    """Move ``similarity`` to where 1% of the impostors of val is accepted; it stays where val has none."""
    if not len(found.verification.impostor):
        log.warning("val has one identity: the threshold stays at %.3g", thresholds["similarity"])
        return thresholds
    return {**thresholds, "similarity": float(np.clip(found.verification.threshold_at(FALSE_ACCEPTS), -1, 1))}


def embedding_metrics(found: Similarities, thresholds: Thresholds, _: Sequence[str]) -> EmbeddingMetrics:
    """Return the metrics; there must be two identities, and a query."""
    pairs, threshold = found.verification, thresholds["similarity"]
    cmc = tuple(float(found.hits(rank).mean()) for rank in range(1, RANKS + 1))
    roc = tuple((float(far), pairs.true_accepts(pairs.threshold_at(far))) for far in ROC)
    return EmbeddingMetrics(
        count=len(found.labels),
        identities=len(np.unique(found.labels)),
        queries=int(found.queries.sum()),
        rank1=cmc[0],
        rank5=cmc[4],
        map_at_r=float(found.average_precision().mean()),
        tar=pairs.true_accepts(pairs.threshold_at(FALSE_ACCEPTS)),
        tar_1e3=pairs.true_accepts(pairs.threshold_at(STRICT_FALSE_ACCEPTS)),
        eer=pairs.equal_error_rate,
        accepted=pairs.true_accepts(threshold),
        falsely_accepted=pairs.false_accepts(threshold),
        genuine=len(pairs.genuine),
        impostors=len(pairs.impostor),
        cmc=cmc,
        roc=roc,
    )


@dataclass(frozen=True)
class EmbeddingOutcome:
    """Every picture looked for among all others, and every genuine pair accepted or not where FAR is .01."""

    class_measure: ClassVar[str] = "rank-1"
    found: Similarities

    @cached_property
    def retrieval(self) -> ImageOutcome:
        queries = self.found.queries
        return ImageOutcome(self.found.hits(1), self.found.labels[queries])

    @cached_property
    def accepted(self) -> np.ndarray:
        """(G,) bool: genuine pairs that are accepted."""
        pairs = self.found.verification
        return np.asarray(pairs.genuine >= np.float32(pairs.threshold_at(FALSE_ACCEPTS)))

    @cached_property
    def owners(self) -> np.ndarray:
        """(G,) the identity of each genuine pair."""
        rows, columns = self.found.pairs
        return np.asarray(self.found.labels[rows[self.found.labels[rows] == self.found.labels[columns]]])

    def scores(self, *, confidence: float) -> Mapping[str, Score]:
        """Return rank-1, and TAR at FAR .01 with an interval by bootstrap over identities."""
        (rank1,) = self.retrieval.scores(confidence=confidence).values()
        samples = self._resampled(self.accepted)
        low, high = np.quantile(samples, tails(confidence))
        basis = f"{int(self.accepted.sum())} of {len(self.accepted)} pairs of {len(np.unique(self.owners))} identities"
        tar = Score(Interval(float(self.accepted.mean()), float(low), float(high), confidence), basis)
        return {"rank1": rank1, "tar": tar}

    def class_score(self, label: int, *, confidence: float) -> Score | None:
        return self.retrieval.class_score(label, confidence=confidence)

    def against(self, baseline: Self, *, max_drop: float, confidence: float) -> Mapping[str, PairedDifference]:
        mine, theirs = self.retrieval.correct, baseline.retrieval.correct
        return {
            "rank1": paired_difference(mine, theirs, max_drop=max_drop, confidence=confidence),
            "tar": resampled_difference(
                float(self.accepted.mean() - baseline.accepted.mean()),
                self._resampled(self.accepted) - self._resampled(baseline.accepted),
                gained=self.accepted & ~baseline.accepted,
                lost=baseline.accepted & ~self.accepted,
                max_drop=max_drop,
                confidence=confidence,
                unit="pairs",
            ),
        }

    def class_against(self, baseline: Self, label: int, *, confidence: float) -> PairedDifference:
        return self.retrieval.class_against(baseline.retrieval, label, confidence=confidence)

    def _resampled(self, accepted: np.ndarray) -> np.ndarray:
        """(R,) the share that is accepted when identities are drawn with replacement: their pairs are no strangers."""
        _, identity = np.unique(self.owners, return_inverse=True)
        pairs, hits = np.bincount(identity), np.bincount(identity, weights=accepted)
        count = len(pairs)
        draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
        return np.asarray((draws @ hits) / (draws @ pairs))


def embedding_parity(mine: Arrays, _: Thresholds, theirs: Arrays, __: Thresholds) -> Parity:
    """Compare embeddings of the same pictures; two agree on a picture if the same other one is nearest to it."""
    cosine = (mine["embedding"].astype(np.float64) * theirs["embedding"]).sum(axis=1)
    nearest = [Similarities.of(found["embedding"], found["truth_labels"]).nearest for found in (mine, theirs)]
    return Parity(
        agreement=float((nearest[0] == nearest[1]).mean()),
        max_difference=float((1 - cosine).max()),
        mean_difference=float((1 - cosine).mean()),
    )
