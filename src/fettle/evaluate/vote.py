"""Weights of a vote that fit the val split."""

from collections.abc import Mapping

import numpy as np

from fettle.evaluate.classification import negative_log_likelihood

STEPS = 2000
TINY = 1e-12


def fit_weights(
    probabilities: Mapping[str, np.ndarray], labels: np.ndarray, start: Mapping[str, float]
) -> dict[str, float]:
    """Return the weights on the simplex at which the vote's log loss is least.

    The loss is convex in them. Its minimum is found by expectation-maximization for the shares of a mixture (Dempster,
    Laird, Rubin 1977), which never raises it and never leaves the simplex.

    Args:
        probabilities: Of each member, (N, C).
        labels: (N,) the true classes.
        start: Weights that must not be better in the end.
    """
    rows = np.arange(len(labels))
    likelihoods = np.stack([np.maximum(each[rows, labels].astype(np.float64), TINY) for each in probabilities.values()])
    weights = np.full(len(probabilities), 1 / len(probabilities))  # one that is 0 would stay so
    for _ in range(STEPS):
        shares = weights[:, None] * likelihoods
        weights = (shares / shares.sum(axis=0)).mean(axis=1)
    fitted = dict(zip(probabilities, weights.tolist(), strict=True))
    return min((fitted, dict(start)), key=lambda each: log_loss(probabilities, labels, each))


def log_loss(probabilities: Mapping[str, np.ndarray], labels: np.ndarray, weights: Mapping[str, float]) -> float:
    """Return the mean negative log-likelihood of the vote, in nats."""
    return negative_log_likelihood(vote(probabilities, weights), labels)


def vote(probabilities: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """Return the weighted mean of the members' probabilities, (N, C)."""
    return np.asarray(sum(weights[name] * each.astype(np.float64) for name, each in probabilities.items()))
