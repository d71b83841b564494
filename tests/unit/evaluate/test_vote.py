"""Fitted weights: on the simplex, never worse than what they started from, and the best that there are."""

import numpy as np
import pytest
from scipy.optimize import minimize

from fettle.evaluate.vote import fit_weights, log_loss, vote

CLASSES = 4


def members(seed: int, *, skills: tuple[float, ...] = (2.0, 1.0, 0.2), count: int = 300):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, count)
    logits = {
        name: skill * np.eye(CLASSES)[labels] + generator.normal(size=(count, CLASSES))
        for name, skill in zip("abc", skills, strict=True)
    }
    softmax = {name: np.exp(each) / np.exp(each).sum(1, keepdims=True) for name, each in logits.items()}
    return {name: each.astype(np.float32) for name, each in softmax.items()}, labels


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("start", [{"a": 0.4, "b": 0.4, "c": 0.2}, {"a": 1.0, "b": 0.0, "c": 0.0}])
def test_on_the_simplex_and_never_worse(seed, start) -> None:
    probabilities, labels = members(seed)
    fitted = fit_weights(probabilities, labels, start)
    assert sum(fitted.values()) == pytest.approx(1)
    assert min(fitted.values()) >= 0
    assert log_loss(probabilities, labels, fitted) <= log_loss(probabilities, labels, start)


def test_no_other_weights_are_better() -> None:
    probabilities, labels = members(0)
    fitted = fit_weights(probabilities, labels, {"a": 0.4, "b": 0.4, "c": 0.2})
    other = minimize(
        lambda weights: log_loss(probabilities, labels, dict(zip("abc", weights, strict=True))),
        [1 / 3] * 3,
        method="SLSQP",
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
    )
    assert log_loss(probabilities, labels, fitted) <= other.fun + 1e-6


def test_who_knows_nothing_has_no_say() -> None:
    probabilities, labels = members(1, skills=(3.0, 3.0, 0.0))
    assert fit_weights(probabilities, labels, {"a": 0.4, "b": 0.4, "c": 0.2})["c"] < 0.05


def test_a_certain_mistake_is_survived() -> None:
    labels = np.array([0, 1])
    certain = np.array([[1, 0], [1, 0]], np.float32)
    fitted = fit_weights({"a": certain, "b": certain}, labels, {"a": 0.5, "b": 0.5})
    assert sum(fitted.values()) == pytest.approx(1)


def test_the_vote_is_the_weighted_mean() -> None:
    probabilities, _ = members(2)
    expected = 0.4 * probabilities["a"] + 0.4 * probabilities["b"] + 0.2 * probabilities["c"]
    np.testing.assert_allclose(vote(probabilities, {"a": 0.4, "b": 0.4, "c": 0.2}), expected, atol=1e-6)
