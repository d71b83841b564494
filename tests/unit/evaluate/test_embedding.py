"""Embeddings are judged: figures by hand, threshold fitted on val, gates, what must not be served."""

import numpy as np
import pytest

from fettle.data.similarity import Similarities
from fettle.errors import ArtifactError
from fettle.evaluate.embedding_metrics import EmbeddingOutcome, embedding_parity
from fettle.evaluate.evidence import Evidence
from fettle.evaluate.gates import judge
from fettle.evaluate.latency import summarize
from fettle.evaluate.predict import check_embeddings
from fettle.evaluate.results import Validation
from fettle.evaluate.tasks import TASKS
from fettle.spec import GateConfig

PEOPLE, PICTURES = 12, 6
CLASSES = tuple(f"p{index}" for index in range(PEOPLE))
LABELS = np.repeat(np.arange(PEOPLE), PICTURES)
TASK = TASKS["embed"]


def predictions(noise: float, seed: int = 0) -> dict[str, np.ndarray]:
    """A person is a direction, a picture is near it."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(PEOPLE, 16))
    points = centres[LABELS] + generator.normal(0, noise, (len(LABELS), 16))
    return {
        "embedding": (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32),
        "truth_labels": LABELS,
    }


def evidence(recipe: str, noise: float) -> Evidence:
    found = predictions(noise)
    studied = TASK.study(found, PEOPLE)
    thresholds = {"similarity": 0.5}
    metrics = TASK.metrics(studied, thresholds, CLASSES)
    name = f"{recipe}-onnxruntime"
    validation = Validation(
        name, recipe, "onnxruntime", "float32", "embed", CLASSES, metrics, exported=thresholds, thresholds=thresholds
    )
    return Evidence(validation, found, summarize({1: [[0.01] * 5] * 30}, size_mb=1.0), {"digest": recipe})


def test_figures_of_what_is_perfect_and_of_what_is_noise() -> None:
    good, bad = (evidence("x", noise).validation.test for noise in (0.05, 30))
    assert (good.rank1, good.map_at_r, good.tar, good.eer) == (1, 1, 1, 0)
    assert (good.count, good.identities, good.queries) == (72, 12, 72)
    assert good.genuine == PEOPLE * PICTURES * (PICTURES - 1) // 2
    assert good.genuine + good.impostors == 72 * 71 // 2
    assert bad.rank1 < 0.3
    assert bad.tar < 0.2
    assert 0.4 < bad.eer < 0.6
    assert bad.cmc == tuple(sorted(bad.cmc))
    assert [tar for _, tar in bad.roc] == sorted(tar for _, tar in bad.roc)


def test_the_threshold_lets_one_in_a_hundred_pass_on_val() -> None:
    studied = TASK.study(predictions(0.6), PEOPLE)
    fitted = TASK.fit(studied, {"similarity": 0.5})
    assert fitted["similarity"] != 0.5
    metrics = TASK.metrics(studied, fitted, CLASSES)
    assert 0 < metrics.falsely_accepted <= 0.01
    alone = Similarities.of(predictions(0.6)["embedding"][:PICTURES], LABELS[:PICTURES])
    assert TASK.fit(alone, {"similarity": 0.5}) == {"similarity": 0.5}


def test_comparison_is_paired_and_by_identity() -> None:
    good, worse = (EmbeddingOutcome(TASK.study(predictions(noise), PEOPLE)) for noise in (0.3, 1.2))
    same = good.against(good, max_drop=0.0, confidence=0.95)
    assert all((each.interval.low, each.interval.high) == (0, 0) for each in same.values())
    assert list(same) == ["rank1", "tar"]
    found = worse.against(good, max_drop=0.01, confidence=0.95)
    assert found["tar"].interval.high < 0
    assert found["tar"].unit == "pairs"
    assert found["tar"].interval.estimate == pytest.approx(float(worse.accepted.mean() - good.accepted.mean()))
    score = worse.scores(confidence=0.95)["tar"]
    assert score.interval.low < score.interval.estimate < score.interval.high
    assert score.basis.endswith("pairs of 12 identities")


def test_gates_ask_for_rank_and_tar() -> None:
    baseline, bad = evidence("baseline", 0.3), evidence("int8", 1.2)
    config = GateConfig(max_drop=0.01, max_tar_drop=0.02, min_rank1=0.5, min_tar=0.99, class_floor=None)
    asked = {verdict.name: verdict for verdict in judge(bad, baseline, config)}
    assert set(asked) == {"max_drop", "max_tar_drop", "min_rank1", "min_tar", "max_size", "latency_p95"} - {
        "max_size", "latency_p95",
    }  # fmt: skip
    assert not asked["max_tar_drop"].passed
    assert "TAR at FAR .01 may be at most 2.00 points below baseline-onnxruntime" in asked["max_tar_drop"].words
    assert not asked["min_tar"].passed
    assert all(verdict.passed for verdict in judge(baseline, baseline, config) if verdict.name != "min_tar")


def test_parity_asks_who_is_nearest() -> None:
    mine = predictions(0.3)
    assert embedding_parity(mine, {}, mine, {}).agreement == 1
    other = embedding_parity(predictions(0.3, seed=1), {}, mine, {})
    assert other.agreement < 1
    assert 0 < other.mean_difference < other.max_difference


@pytest.mark.parametrize(
    ("ruin", "words"),
    [
        (lambda x: x * np.nan, "NaN or infinity for 72 of 72"),
        (lambda x: x * 2, "length 2, not 1"),
        (lambda x: x[None], r"shape \(72, 16\)"),
    ],
)
def test_what_must_not_be_served_is_refused(ruin, words) -> None:
    with pytest.raises(ArtifactError, match=words):
        check_embeddings((ruin(predictions(0.3)["embedding"]),), PEOPLE, 32, "x")
