"""What can be searched, and the spec with values replaced."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from fettle.errors import SpecError
from fettle.spec import ModelConfig, Range, TrainConfig
from fettle.tune.space import check_space, defaults, distribution, override

MODEL, TRAIN = ModelConfig(), TrainConfig(preset="plain")


@pytest.mark.parametrize("key", ["recipes.pruned.prune.ratio", "train.epochs", "train.lrr", "model.image_size", "lr"])
def test_a_key_that_cannot_be_searched_is_refused(key: str) -> None:
    with pytest.raises(SpecError, match=rf"cannot search '{key}'.*model\.family.*train\.{{batch_size, .*lr"):
        check_space({key: Range(low=0, high=1)})


def test_an_empty_space_is_refused() -> None:
    with pytest.raises(SpecError, match=r"`tune.space` is empty"):
        check_space({})


def test_ranges_become_distributions() -> None:
    check_space({"train.lr": Range(low=1e-4, high=1e-2, log=True), "train.balance.loss": Range(low=0, high=1)})
    assert distribution(Range(low=1e-4, high=1e-2, log=True)) == FloatDistribution(1e-4, 1e-2, log=True)
    assert distribution(Range(low=8, high=32, step=8)) == IntDistribution(8, 32, step=8)
    assert distribution(Range(low=0, high=1, step=0.25)) == FloatDistribution(0, 1, step=0.25)
    assert distribution(Range(choices=["a", "b"])) == CategoricalDistribution(["a", "b"])


def test_defaults_are_the_specs_values_that_a_range_contains() -> None:
    space = {
        "train.lr": Range(low=1e-4, high=1e-2, log=True),
        "train.batch_size": Range(low=10, high=30, step=10),
        "model.family": Range(choices=["resnet18", "resnet50"]),
        "model.options.drop_rate": Range(low=0, high=0.5),
    }
    assert defaults(space, MODEL, TRAIN) == {"train.lr": 1e-3, "model.family": "resnet18"}


def test_override_replaces_only_what_is_named() -> None:
    model, train = override(
        MODEL,
        TRAIN,
        {"train.balance.loss": 0.25, "train.lr": 0.01, "model.options.drop_rate": 0.3, "model.family": "x"},
    )
    assert train == TRAIN.model_copy(update={"lr": 0.01, "balance": TRAIN.balance.model_copy(update={"loss": 0.25})})
    assert (model.family, model.options) == ("x", {"drop_rate": 0.3})
    assert override(MODEL, TRAIN, {}) == (MODEL, TRAIN)


def test_a_value_out_of_bounds_is_refused() -> None:
    with pytest.raises(SpecError, match=r"{'train.lr': -1} does not fit the spec: lr: .*greater than 0"):
        override(MODEL, TRAIN, {"train.lr": -1})
