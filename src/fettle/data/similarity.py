"""How well embeddings tell identities apart: retrieval and verification."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FALSE_ACCEPTS = 0.01  # where the headline TAR is, and the threshold that is served


@dataclass(frozen=True)
class Verification:
    """Pairs of pictures: of one identity, or of two.

    A pair is accepted if its similarity is at least a threshold.

    Attributes:
        genuine: (G,) similarities of pairs of one identity.
        impostor: (I,) similarities of pairs of two.
    """

    genuine: NDArray[np.float32]
    impostor: NDArray[np.float32]

    @cached_property
    def _falling(self) -> NDArray[np.float32]:
        return np.asarray(-np.sort(-self.impostor))

    def threshold_at(self, false_accepts: float) -> float:
        """Return the lowest threshold that accepts at most the share ``false_accepts`` of the impostors."""
        allowed = int(false_accepts * len(self._falling))
        if allowed >= len(self._falling):
            return -1.0
        return float(np.nextafter(self._falling[allowed], np.float32(2)))

    def true_accepts(self, threshold: float) -> float:
        """Return the share of the genuine pairs that is accepted (TAR)."""
        return float((self.genuine >= np.float32(threshold)).mean())

    def false_accepts(self, threshold: float) -> float:
        """Return the share of the impostors that is accepted (FAR)."""
        return float((self.impostor >= np.float32(threshold)).mean())

    @cached_property
    def equal_error_rate(self) -> float:
        """Where as many impostors are accepted as genuine pairs are rejected; between thresholds, the mean of both."""
        thresholds = np.unique(np.concatenate([self.genuine, self.impostor]))
        accepted = 1 - np.searchsorted(np.sort(self.impostor), thresholds) / len(self.impostor)
        rejected = np.searchsorted(np.sort(self.genuine), thresholds) / len(self.genuine)
        best = int(np.argmin(np.abs(accepted - rejected)))
        return float((accepted[best] + rejected[best]) / 2)


@dataclass(frozen=True)
class Similarities:
    """Every picture against every other one.

    Attributes:
        cosine: (N, N) float32 cosine similarity.
        labels: (N,) identities.
    """

    cosine: NDArray[np.float32]
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> "Similarities":
        """Compare (N, D) embeddings of length 1; N² numbers are held."""
        return cls(embeddings @ embeddings.T, labels)

    @cached_property
    def mates(self) -> NDArray[np.int64]:
        """(N,) how many other pictures show the same identity."""
        _, identity, counts = np.unique(self.labels, return_inverse=True, return_counts=True)
        return np.asarray(counts[identity] - 1)

    @cached_property
    def _others(self) -> NDArray[np.float32]:
        """(N, N) the similarities, none of a picture to itself."""
        others = self.cosine.copy()
        np.fill_diagonal(others, -np.inf)
        return others

    @cached_property
    def ranked(self) -> NDArray[np.bool_]:
        """(N, N - 1): for each picture, whether the first, second, ... most similar other one is of its identity."""
        order = np.argsort(-self._others, axis=1, kind="stable")[:, :-1]
        return np.asarray(self.labels[order] == self.labels[:, None])

    @cached_property
    def nearest(self) -> NDArray[np.int64]:
        """(N,) the most similar other picture."""
        return np.asarray(self._others.argmax(axis=1))

    @property
    def queries(self) -> NDArray[np.bool_]:
        """(N,): another picture of the identity is there to be found."""
        return self.mates > 0

    def hits(self, rank: int) -> NDArray[np.bool_]:
        """(Q,) of the queries: the identity is among the first ``rank`` (a point of the CMC curve)."""
        return np.asarray(self.ranked[self.queries, :rank].any(axis=1))

    def average_precision(self) -> Floats:
        """(Q,) of the queries: average precision over the first R, R being its mates (Musgrave et al. 2020: MAP@R)."""
        ranked, mates = self.ranked[self.queries], self.mates[self.queries]
        precision = ranked.cumsum(axis=1) / np.arange(1, ranked.shape[1] + 1)
        counted = ranked & (np.arange(ranked.shape[1]) < mates[:, None])
        return np.asarray((precision * counted).sum(axis=1) / mates)

    @cached_property
    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of every pair, once."""
        rows, columns = np.triu_indices(len(self.labels), k=1)
        return rows, columns

    @cached_property
    def verification(self) -> Verification:
        rows, columns = self.pairs
        same, cosine = self.labels[rows] == self.labels[columns], self.cosine[rows, columns]
        return Verification(cosine[same], cosine[~same])
