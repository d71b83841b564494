"""What a search found, as JSON."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial

from fettle.errors import TrainError
from fettle.spec import TuneConfig
from fettle.tune.search import WORKER, new_study
from fettle.tune.space import Overrides, distribution

STUDY, OVERRIDES, TRIALS = "study.json", "overrides.json", "trials.json"
MIN_TRIALS = 4  # below, an importance says nothing


def summarize(study: optuna.Study, *, metric: str) -> dict[str, Any]:
    """Return what ``study.json`` holds: trials, the best, the default, and the importance of each key.

    Raises:
        TrainError: If every trial diverged.
    """
    if not completed(study):
        raise TrainError("Every trial of the search diverged: lower the ranges of `tune.space`, train.lr first.")
    trials = rows(study)
    return {
        "metric": metric,
        "direction": study.direction.name.lower(),
        "trials": trials,
        "default": trials[0],
        "best": _trial(best(study)),
        "importances": importances(study),
    }


def write_study(folder: Path, study: optuna.Study, *, metric: str) -> dict[str, Any]:
    """Write :data:`STUDY` and :data:`OVERRIDES`; return what a card tells of them.

    Raises:
        TrainError: If every trial diverged.
    """
    found = summarize(study, metric=metric)
    (folder / STUDY).write_text(json.dumps(found, indent=1) + "\n")
    (folder / OVERRIDES).write_text(json.dumps(overrides(study), indent=1) + "\n")
    return {"best": found["best"]["value"], "default": found["default"]["value"], "trials": len(found["trials"])}


def write_trials(folder: Path, study: optuna.Study, *, worker: str) -> dict[str, Any]:
    """Write :data:`TRIALS`, those that ``worker`` ran; return what a card tells of them."""
    mine = rows(study, **{WORKER: worker})
    (folder / TRIALS).write_text(json.dumps(mine, indent=1) + "\n")
    return {"trials": len(mine)}


def rows(study: optuna.Study, **attributes: str) -> list[dict[str, Any]]:
    """Return the trials that were run, as JSON; ``attributes`` leaves those that have them."""
    found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [_trial(trial) for trial in found if attributes.items() <= trial.user_attrs.items()]


def rebuild(config: TuneConfig, trials: Iterable[Mapping[str, Any]]) -> optuna.Study:
    """Return the study of which several workers ran :func:`rows`; where two ran one, the first of them counts."""
    study = new_study(config)
    by_number = {row["number"]: row for row in reversed(list(trials))}
    for _, row in sorted(by_number.items()):
        made = create_trial(
            state=TrialState[row["state"].upper()],
            value=row["value"],
            params=row["params"],
            distributions={key: distribution(config.space[key]) for key in row["params"]},
            intermediate_values={int(epoch): value for epoch, value in row["epochs"].items()},
        )
        study.add_trial(made)
    return study


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
