"""The search itself: workers take trials from one journal until there are enough."""

import logging
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from fettle.spec import TuneConfig
from fettle.tune.claims import Claims, Worker
from fettle.tune.space import Overrides, suggest

log = logging.getLogger("fettle")
WORKER = "worker"  # attribute of a trial: who runs it
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
        folder: Holds the journal; processes of this machine that are given the same folder share the study.
    """
    worker = Claims(folder / "workers")
    try:
        return share(config, defaults, train, JournalFileBackend(str(folder / "journal.log")), worker, folder=folder)
    finally:
        worker.close()


def share(
    config: TuneConfig,
    defaults: Overrides,
    train: Train,
    journal: BaseJournalBackend,
    worker: Worker,
    *,
    folder: Path,
) -> optuna.Study:
    """Take part in a search, see :func:`search`; return when there is no trial left to begin.

    With several workers at once, a trial's parameters follow from those that were finished when it began.

    Args:
        config: What to search, and how long.
        defaults: Trial 0's values of the keys that are searched.
        train: Trains one trial.
        journal: Of the study; all workers have the same.
        worker: This one.
        folder: For the checkpoints of its trials.
    """
    optuna.logging.disable_default_handler()
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    with worker.exclusive():
        study = new_study(config, JournalStorage(journal))
    deadline = time.monotonic() + 60 * (config.timeout_minutes or float("inf"))
    while (trial := _next_trial(study, config, worker, deadline)) is not None:
        study.sampler = _sampler(config.seed + 100_003 * trial.number)
        _run_trial(study, trial, config, defaults, train, folder / f"trial-{trial.number}")
    return study


def new_study(config: TuneConfig, storage: optuna.storages.BaseStorage | None = None) -> optuna.Study:
    """Return the study of ``storage``, or one in memory."""
    return optuna.create_study(
        study_name="fettle",
        storage=storage,
        direction="minimize" if config.metric == "loss" else "maximize",
        pruner=MedianPruner(n_startup_trials=4, n_warmup_steps=2),
        load_if_exists=True,
    )


def _next_trial(study: optuna.Study, config: TuneConfig, worker: Worker, deadline: float) -> Trial | None:
    """Take the next trial, one that a dead worker left first; wait while others run the last ones."""
    while True:
        with worker.exclusive():
            begun = study.get_trials(deepcopy=False)
            running = [trial for trial in begun if trial.state == TrialState.RUNNING]
            left = next((each for each in running if not worker.is_alive(each.user_attrs.get(WORKER, ""))), None)
            if left is not None or (len(begun) < config.trials and time.monotonic() < deadline):
                trial = _take(study, left, worker)
                if trial.number < config.trials:
                    return trial
                study.tell(trial, state=TrialState.FAIL)  # several workers began the last one at the same moment
                continue
            if not running or not worker.waits:
                return None
        time.sleep(1)


def _take(study: optuna.Study, left: FrozenTrial | None, worker: Worker) -> Trial:
    """Take over the trial that was left, or begin one: an entry of the journal says that it exists and whose it is."""
    if left is None:
        mine = create_trial(state=TrialState.RUNNING, user_attrs={WORKER: worker.name})
        return Trial(study, study._storage.create_new_trial(study._study_id, mine))
    trial = Trial(study, left._trial_id)
    trial.set_user_attr(WORKER, worker.name)
    return trial


def _sampler(seed: int) -> TPESampler:
    """Multivariate TPE (Bergstra et al. 2011; Falkner et al. 2018), random for the first trials."""
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=5, constant_liar=True)


def _run_trial(
    study: optuna.Study, trial: Trial, config: TuneConfig, defaults: Overrides, train: Train, folder: Path
) -> None:
    try:
        value = _train_trial(trial, config, defaults, train, folder)
        # Optuna gives a pruned trial its last report, and one that never reported the worst rank: so for diverged ones.
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        study.tell(trial, value, state=state, skip_if_finished=True)
        told = "stopped: hopeless" if value is None else f"{config.metric} {value:.4f}"
    except UpdateFinishedTrialError:
        told = "another attempt finished it"
    shutil.rmtree(folder, ignore_errors=True)  # not before the journal has the value: what is finished is not run again
    log.info("trial %d: %s", trial.number, told)


def _train_trial(trial: Trial, config: TuneConfig, defaults: Overrides, train: Train, folder: Path) -> float | None:
    """Return the trial's value; of one that is hopeless ``None``."""
    is_default = trial.number == 0
    if is_default:
        trial._fixed_params = dict(defaults)
    params = {key: suggest(trial, key, config.space[key]) for key in (defaults if is_default else config.space)}
    log.info("trial %d/%d: %s", trial.number, config.trials, "the spec as it stands" if is_default else params)

    def report(epoch: int, value: float) -> None:
        trial.report(value, epoch)
        if not is_default and trial.should_prune():
            raise optuna.TrialPruned

    try:
        return train({} if is_default else params, folder, report)
    except optuna.TrialPruned:
        return None
