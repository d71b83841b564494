"""What a search found, as JSON."""

from typing import Any

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from fettle.errors import TrainError
from fettle.tune.space import Overrides

STUDY, OVERRIDES = "study.json", "overrides.json"
MIN_TRIALS = 4  # below, an importance says nothing


def summarize(study: optuna.Study, *, metric: str) -> dict[str, Any]:
    """Return what ``study.json`` holds: trials, the best, the default, and the importance of each key.

    Raises:
        TrainError: If every trial diverged.
    """
    if not completed(study):
        raise TrainError("Every trial of the search diverged: lower the ranges of `tune.space`, train.lr first.")
    trials = [_trial(trial) for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    return {
        "metric": metric,
        "direction": study.direction.name.lower(),
        "trials": trials,
        "default": trials[0],
        "best": _trial(best(study)),
        "importances": importances(study),
    }


def best(study: optuna.Study) -> FrozenTrial:
    """Return the best completed trial; among equals the earliest, so that the default wins a draw."""
    sign = 1 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1
    return min(completed(study), key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def overrides(study: optuna.Study) -> Overrides:
    """Return the values of the best trial by dotted key; none where the spec as it stands is best."""
    winner = best(study)
    return winner.params if winner.number else {}


def completed(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def importances(study: optuna.Study) -> dict[str, float]:
    """Return each key's share of the variance of the value (fANOVA, Hutter et al. 2014)."""
    if len(completed(study)) < MIN_TRIALS:
        return {}
    try:
        return dict(get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0)))
    except (RuntimeError, ValueError):  # all values alike
        return {}


def _trial(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "params": trial.params,
        "value": trial.value,
        "epochs": {str(epoch): value for epoch, value in sorted(trial.intermediate_values.items())},
    }
