"""The search itself: workers take trials from one journal until there are enough."""

import logging
import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from fettle.spec import TuneConfig
from fettle.tune.claims import Claims
from fettle.tune.space import Overrides, suggest

log = logging.getLogger("fettle")
DIRECTIONS: Mapping[str, Any] = {
    "loss": "minimize", "macro_f1": "maximize", "accuracy": "maximize", "map50": "maximize", "map50_95": "maximize",
}  # fmt: skip
Report = Callable[[int, float], None]  # epoch, value; raises TrialPruned
Train = Callable[[Overrides, Path, Report], float | None]  # overrides, folder: the value, None if it diverged


def search(config: TuneConfig, defaults: Overrides, train: Train, *, folder: Path) -> optuna.Study:
    """Run trials until ``config.trials`` are finished, counting those that other workers or earlier calls finished.

    Trial 0 has no overrides: it is the spec as it stands, and is never pruned. A trial whose worker died is taken
    over under its number and parameters. Every trial's parameters follow from the seed and the trials before it.

    Args:
        config: What to search, and how long.
        defaults: Trial 0's values of the keys that are searched.
        train: Trains one trial.
        folder: Holds the journal; workers that are given the same folder share the study.
    """
    optuna.logging.disable_default_handler()
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    claims = Claims(folder / "workers")
    try:
        study = _open_study(config, defaults, folder, claims)
        deadline = time.monotonic() + 60 * (config.timeout_minutes or float("inf"))
        while (trial := _next_trial(study, config, claims, deadline)) is not None:
            _run_trial(study, trial, config, train, folder / f"trial-{trial.number}")
        return study
    finally:
        claims.close()


def _open_study(config: TuneConfig, defaults: Overrides, folder: Path, claims: Claims) -> optuna.Study:
    with claims.exclusive():
        study = optuna.create_study(
            study_name="fettle",
            storage=JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
            direction=DIRECTIONS[config.metric],
            pruner=MedianPruner(n_startup_trials=4, n_warmup_steps=2),
            load_if_exists=True,
        )
        if not study.trials:
            study.enqueue_trial(dict(defaults), user_attrs={"keys": list(defaults)})
    return study


def _next_trial(study: optuna.Study, config: TuneConfig, claims: Claims, deadline: float) -> Trial | None:
    """Take the next trial, one that a dead worker left first; wait while others run the last ones."""
    while True:
        with claims.exclusive():
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            for frozen in running:
                if not claims.is_alive(frozen.user_attrs.get("worker", "")):
                    return _claim(Trial(study, frozen._trial_id), claims)
            begun = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]
            if len(begun) < config.trials and time.monotonic() < deadline:
                study.sampler = _sampler(config.seed + 100_003 * len(begun))
                return _claim(study.ask(), claims)
            if not running:
                return None
        time.sleep(1)


def _claim(trial: Trial, claims: Claims) -> Trial:
    trial.set_user_attr("worker", claims.name)
    return trial


def _sampler(seed: int) -> TPESampler:
    """Multivariate TPE (Bergstra et al. 2011; Falkner et al. 2018), random for the first trials."""
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=5, constant_liar=True)


def _run_trial(study: optuna.Study, trial: Trial, config: TuneConfig, train: Train, folder: Path) -> None:
    is_default = trial.number == 0
    fixed = trial.user_attrs.get("keys", []) if is_default else config.space
    params = {key: suggest(trial, key, config.space[key]) for key in fixed}

    def report(epoch: int, value: float) -> None:
        trial.report(value, epoch)
        if not is_default and trial.should_prune():
            raise optuna.TrialPruned

    log.info("trial %d/%d: %s", trial.number, config.trials, params if not is_default else "the spec as it stands")
    try:
        value = train({} if is_default else params, folder, report)
    except optuna.TrialPruned:
        value = None
    # Optuna gives a pruned trial its last report, and one that never reported the worst rank: so for diverged ones.
    study.tell(trial, value, state=TrialState.PRUNED if value is None else TrialState.COMPLETE)
    shutil.rmtree(folder, ignore_errors=True)  # not before the journal has the value: what is finished is not run again
    log.info("trial %d: %s", trial.number, "stopped: hopeless" if value is None else f"{config.metric} {value:.4f}")
