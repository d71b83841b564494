"""What can be searched: dotted keys of the spec, their ranges, and the spec with some of them replaced."""

from collections.abc import Mapping
from typing import Any

from optuna import Trial
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import ValidationError

from fettle.errors import SpecError
from fettle.spec import ModelConfig, Range, TrainConfig

# Keys of `train` that say how long, where or how a run is judged: a trial that changed them would not be comparable.
FIXED = frozenset(("preset", "epochs", "patience", "monitor", "precision", "seed", "workers", "trackers", "trainer"))
Overrides = Mapping[str, Any]


def check_space(space: Mapping[str, Range]) -> None:
    """Refuse a key that no trial can set.

    Raises:
        SpecError: If the space is empty or has such a key.
    """
    names = [name for name in TrainConfig.model_fields if name not in FIXED]
    tunable = f"model.family, model.options.NAME and train.{{{', '.join(names)}}}"
    if not space:
        raise SpecError(f"`tune.space` is empty: give ranges of {tunable}.")
    for key in space:
        section, _, rest = key.partition(".")
        if section == "train" and rest.split(".")[0] in names:
            continue
        if key == "model.family" or key.startswith("model.options."):
            continue
        raise SpecError(f"`tune.space` cannot search {key!r}: it can search {tunable}.")


def suggest(trial: Trial, key: str, declared: Range) -> Any:
    """Return the trial's value of ``key``."""
    return trial._suggest(key, distribution(declared))


def distribution(declared: Range) -> BaseDistribution:
    """Return Optuna's name for a range; whole bounds with a whole step give integers."""
    if declared.choices is not None:
        return CategoricalDistribution(declared.choices)
    low, high, step = declared.low, declared.high, declared.step
    assert low is not None
    assert high is not None
    if step is not None and all(float(value).is_integer() for value in (low, high, step)):
        return IntDistribution(int(low), int(high), step=int(step))
    return FloatDistribution(low, high, log=declared.log, step=step)


def defaults(space: Mapping[str, Range], model: ModelConfig, train: TrainConfig) -> Overrides:
    """Return the spec's own values of those keys whose range contains them."""
    spec = {"model": model.to_json(), "train": train.to_json()}
    found = {key: _get(spec, key) for key in space}
    return {key: value for key, value in found.items() if _contains(distribution(space[key]), value)}


def override(model: ModelConfig, train: TrainConfig, overrides: Overrides) -> tuple[ModelConfig, TrainConfig]:
    """Return the two sections with dotted keys replaced.

    Raises:
        SpecError: If a value is refused.
    """
    spec = {"model": model.to_json(), "train": train.to_json()}
    for key, value in overrides.items():
        *parents, last = key.split(".")
        section: Any = spec
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    try:
        return ModelConfig.model_validate(spec["model"]), TrainConfig.model_validate(spec["train"])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise SpecError(f"{dict(overrides)} does not fit the spec: {place}: {first['msg']}.") from error


def _get(spec: Mapping[str, Any], key: str) -> Any:
    value: Any = spec
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _contains(among: BaseDistribution, value: Any) -> bool:
    try:
        return bool(among._contains(among.to_internal_repr(value)))
    except (TypeError, ValueError):
        return False
