"""Step ``tune``: a ``dataset`` in, a ``study`` with the best overrides of the spec out, or a worker's ``trials``."""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from fettle import card
from fettle.card import Artifact
from fettle.data.dataset import Dataset, open_dataset
from fettle.errors import SpecError
from fettle.spec import ModelConfig, TrainConfig, TuneConfig
from fettle.steps.train import initial_model, make_architecture, work_folder
from fettle.storage import open_store
from fettle.train.result import DivergedError, Row
from fettle.train.team import alone
from fettle.train.trainers import find_trainer
from fettle.tune.claims import Named
from fettle.tune.identity import of_trials, settings_of, study_key
from fettle.tune.journal import StoreJournal
from fettle.tune.results import write_study, write_trials
from fettle.tune.search import Report, Train, search, share
from fettle.tune.space import Overrides, check_space, defaults, override

# By task: the column of the history that each metric is.
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "classify": {"loss": "val_loss", "macro_f1": "macro_f1", "accuracy": "accuracy"},
    "detect": {"loss": "val_loss", "map50": "map50", "map50_95": "map50_95"},
    "embed": {"loss": "val_loss", "map_at_r": "map_at_r", "rank1": "rank1", "tar": "tar"},
}


def tune(
    dataset: Path,
    out: Path,
    *,
    model: ModelConfig,
    train: TrainConfig,
    tune: TuneConfig,
    worker: str = "",
    work: Path | None = None,
    shared: str | None = None,
) -> Artifact:
    """Search ``tune.space`` for better values than the spec's; trial 0 is the spec, so the result is never below it.

    Args:
        dataset: Artifact of kind ``dataset``; only its train and val splits are used.
        out: Where the artifact is written: ``study.json``, and ``overrides.json`` for ``train(study=...)``. That of a
            worker has the trials that it ran, ``trials.json``: :func:`fettle.steps.gather.gather` makes the study.
        model: Network of the spec.
        train: Training of the spec.
        tune: What to search, and for how long.
        worker: Name of this one of ``tune.workers`` that share the trials; no two have the same, and what an earlier
            attempt of the same name left is taken over. By default this one does all.
        work: Folder of checkpoints, and of the journal where there are no other workers. It outlives a killed process,
            so that the same call goes on with the trial and epoch it was in; processes that are given the same folder
            share the trials. By default ``.<out>.work`` beside ``out``, removed after success; one that was given is
            kept.
        shared: Folder or ``s3://bucket/prefix`` of the journal that the workers share.

    Raises:
        SpecError: If a key cannot be searched, a value is refused, the metric is not of the task, or workers share
            nothing.
        TrainError: If every trial diverges, or the search is interrupted.
        ArtifactError: If the data set cannot be read.
        StorageError: If ``shared`` cannot be reached.
    """
    if tune.trials < 1:
        raise SpecError("`tune.trials` is 0, which switches tuning off: set it to 1 or more.")
    if worker and not shared:
        raise SpecError(f"`tune.workers` is {tune.workers}, but they share no place (FETTLE_WORK): set it to 1.")
    check_space(tune.space)
    data = open_dataset(dataset)
    trainer = _trainer(data, model, train, tune)
    folder, start = work or work_folder(out), defaults(tune.space, model, train)
    parents, settings = {"dataset": data.artifact.card}, settings_of(model, train, tune)
    if worker:
        journal = StoreJournal(open_store(shared or ""), f"{study_key(data.artifact.card, settings)}/journal")
        study = share(tune, start, trainer, journal, Named(worker), folder=folder)
        kind, write = "trials", partial(write_trials, worker=worker)
    else:
        study = search(tune, start, trainer, folder=folder)
        kind, write = "study", partial(write_study, metric=tune.metric)
    with card.create(out, kind=kind, name=worker or "tune", config=settings, parents=parents) as draft:
        draft.summary.update(write(draft.path, study))
    if work is None:
        shutil.rmtree(folder, ignore_errors=True)
    return Artifact.open(out)


def _trainer(data: Dataset, model: ModelConfig, train: TrainConfig, tune: TuneConfig) -> Train:
    """Return the function that trains one trial.

    Raises:
        SpecError: If the metric is not of the task.
    """
    columns = COLUMNS[data.task]
    if tune.metric not in columns:
        raise SpecError(f"`tune.metric` must be one of {', '.join(columns)} for {data.task}, got {tune.metric!r}.")
    column, train = columns[tune.metric], of_trials(train, tune)

    def run(params: Overrides, folder: Path, report: Report) -> float | None:
        trial_model, trial_train = override(model, alone(train), params)
        architecture = make_architecture(data, trial_model)
        network = initial_model(architecture, trial_model, seed=trial_train.seed)

        def on_epoch(row: Row) -> None:
            report(row["epoch"], row[column])

        fit = find_trainer(architecture)
        try:
            return float(fit(network, architecture, data, trial_train, folder=folder, on_epoch=on_epoch).best[column])
        except DivergedError:
            return None

    return run
