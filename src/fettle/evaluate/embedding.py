"""How well embeddings tell identities apart."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class EmbeddingMetrics:
    """Metrics of one set of pictures, whose identities were never trained on.

    Retrieval: each picture is looked for among all others. Verification: each pair of pictures is accepted if its
    similarity is at least a threshold.

    Attributes:
        count: Pictures.
        identities: Of them.
        queries: Pictures of whose identity there is another one.
        rank1: Share of the queries whose most similar picture is of their identity.
        rank5: Share of those that have one among the first five.
        map_at_r: Mean average precision over the first R, R being a query's other pictures (Musgrave et al. 2020).
        tar: Share of the genuine pairs that is accepted where 1% of the impostors is (TAR at FAR .01).
        tar_1e3: The same at .1%.
        eer: Equal error rate.
        accepted: Share of the genuine pairs that is accepted at the threshold that was fitted on val.
        falsely_accepted: Share of the impostors that is, there.
        genuine: Pairs of one identity.
        impostors: Pairs of two.
        cmc: Share of the queries with their identity among the first 1, 2, ... 10.
        roc: Pairs of FAR and TAR.
    """

    count: int
    identities: int
    queries: int
    rank1: float
    rank5: float
    map_at_r: float
    tar: float
    tar_1e3: float
    eer: float
    accepted: float
    falsely_accepted: float
    genuine: int
    impostors: int
    cmc: tuple[float, ...]
    roc: tuple[tuple[float, float], ...]
    task: Literal["embed"] = "embed"
