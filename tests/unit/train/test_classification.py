"""Losses and class weights against independent arithmetic."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score

from fettle.spec import TrainConfig
from fettle.train.classification import Classification, classification_loss, classification_metrics
from fettle.train.objectives import PROBE, VAL

# 90, 9 and 1 images: n / (k n_c)
COUNTS = np.array([90, 9, 1])
WEIGHTS = COUNTS.sum() / (3 * COUNTS)


def config(**kwargs: object) -> TrainConfig:
    return TrainConfig.model_validate({"preset": "plain", **kwargs})


def test_smoothed_weighted_loss_is_what_the_formula_says() -> None:
    loss = classification_loss(config(label_smoothing=0.1, balance={"loss": 0.5, "sampling": 0.5}), WEIGHTS)
    logits = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0]])
    targets = torch.eye(3)[[0, 1]]
    got = loss(logits, targets).item()
    weights = WEIGHTS**0.5
    weights = weights / np.average(weights, weights=COUNTS * WEIGHTS**0.5)  # over the images that are drawn
    smoothed = targets.numpy() * 0.9 + 0.1 / 3
    probabilities = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    assert got == pytest.approx(-(smoothed * weights * np.log(probabilities)).sum(1).mean(), rel=1e-5)


@pytest.mark.parametrize(("loss", "sampling"), [(0.0, 0.0), (0.5, 0.5), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_influence_of_a_class_grows_by_the_sum_of_the_exponents(loss: float, sampling: float) -> None:
    criterion = classification_loss(config(balance={"loss": loss, "sampling": sampling}), WEIGHTS)
    drawn = COUNTS * WEIGHTS**sampling
    influence = drawn * criterion.weights.numpy()
    expected = COUNTS * WEIGHTS ** (loss + sampling)
    np.testing.assert_allclose(influence / influence.sum(), expected / expected.sum(), rtol=1e-5)
    assert np.average(criterion.weights.numpy(), weights=drawn) == pytest.approx(1, rel=1e-5)


def test_metrics_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 60)
    scores = generator.random((60, 3)) + 0.4 * np.eye(3)[labels]
    probabilities = scores / scores.sum(1, keepdims=True)
    metrics = classification_metrics(3)
    for part in np.array_split(np.arange(60), 4):  # in batches, as in validation
        metrics.update(torch.tensor(probabilities[part]), torch.tensor(labels[part]))
    found = {name: value.item() for name, value in metrics.compute().items()}
    predicted = probabilities.argmax(1)
    assert found["accuracy"] == pytest.approx((predicted == labels).mean())
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert found["auroc"] == pytest.approx(roc_auc_score(labels, probabilities, multi_class="ovr"))


def test_validation_loss_is_the_mean_over_images_whatever_the_batches() -> None:
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    objective = Classification(classification_loss(config(), WEIGHTS), 3, mixup=0.0, distillation=None)
    objective.reset()
    for loader in (VAL, PROBE):
        for part in ([0, 1, 2], [3, 4]):
            objective.update(torch.nn.Identity(), logits[part], labels[part], loader)
    scores = objective.scores()
    assert scores["val_loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert scores["gap"] == 0
