"""What a search is given: the same work has the same name."""

from collections.abc import Mapping
from typing import Any

from fettle.card import Card, digest_json
from fettle.spec import ModelConfig, TrainConfig, TuneConfig


def of_trials(train: TrainConfig, tune: TuneConfig) -> TrainConfig:
    """Return how a trial is trained, but for what it tries."""
    return train if tune.epochs is None else train.model_copy(update={"epochs": tune.epochs})


def settings_of(model: ModelConfig, train: TrainConfig, tune: TuneConfig) -> dict[str, Any]:
    """Return what a search is given beside the data, as its card has it."""
    return {"model": model.to_json(), "train": of_trials(train, tune).to_json(), "tune": tune.to_json()}


def study_key(dataset: Card, settings: Mapping[str, Any]) -> str:
    """Return the key of a study that workers share: other work never has it."""
    return f"study-{digest_json({'dataset': dataset.digest, **settings})[7:23]}"
