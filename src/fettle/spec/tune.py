"""``tune``: hyperparameter search with Optuna."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from fettle.spec.base import Section


class Range(Section):
    """A declared range of one spec key: bounds, or a list of choices."""

    low: float | None = None
    """Smallest value."""
    high: float | None = None
    """Largest value."""
    log: bool = False
    """Sample the logarithm."""
    step: float | None = Field(None, gt=0)
    """Spacing of the values; integers when ``low``, ``high`` and ``step`` are whole."""
    choices: list[Any] | None = None
    """Values to choose from, instead of bounds."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.choices is None) == (self.low is None or self.high is None):
            raise ValueError("a range has either low and high, or choices")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        return self


class TuneConfig(Section):
    """A search whose trial 0 is the spec as it stands, so that it never ends below it."""

    trials: int = Field(0, ge=0)
    """Trials in all; 0 switches tuning off."""
    workers: int = Field(1, ge=1)
    """Tasks of the pipeline that share the trials, on a cluster side by side. One gives the same trials each time; of
    several, each begins a trial with what all have finished by then, so that only trial 0 is always the same."""
    timeout_minutes: float | None = Field(None, gt=0)
    """No trial starts after this."""
    epochs: int | None = Field(None, ge=1)
    """Epochs a trial; by default those of ``train``."""
    metric: Literal["loss", "macro_f1", "accuracy", "map50", "map50_95", "map_at_r", "rank1", "tar"] = "loss"
    """Validation metric that is searched for; ``loss`` is minimized, and does not compare where the search changes
    weights of a detector's loss: take ``map50_95`` there."""
    space: dict[str, Range] = {
        "train.lr": Range(low=1e-4, high=1e-2, log=True),
        "train.batch_size": Range(low=8, high=32, step=8),
    }
    """Spec keys and their ranges."""
    seed: int = Field(0, ge=0)
    """Seed of the sampler."""

    @model_validator(mode="after")
    def _every_worker_has_work(self) -> Self:
        if self.workers > max(self.trials, 1):
            raise ValueError(f"workers must be at most trials, which is {self.trials}, got {self.workers}")
        return self
