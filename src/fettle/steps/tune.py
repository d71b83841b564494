"""Step ``tune``: a ``dataset`` in, a ``study`` with the best overrides of the spec out."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from fettle import card
from fettle.card import Artifact
from fettle.data.dataset import Dataset, open_dataset
from fettle.errors import SpecError
from fettle.spec import ModelConfig, TrainConfig, TuneConfig
from fettle.steps.train import initial_model, make_architecture, work_folder
from fettle.train.result import DivergedError, Row
from fettle.train.trainers import find_trainer
from fettle.tune.results import OVERRIDES, STUDY, overrides, summarize
from fettle.tune.search import Report, Train, search
from fettle.tune.space import Overrides, check_space, defaults, override

# By task: the column of the history that each metric is.
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "classify": {"loss": "val_loss", "macro_f1": "macro_f1", "accuracy": "accuracy"},
    "detect": {"loss": "val_loss", "map50": "map50", "map50_95": "map50_95"},
    "embed": {"loss": "val_loss", "map_at_r": "map_at_r", "rank1": "rank1", "tar": "tar"},
}


def tune(
    dataset: Path, out: Path, *, model: ModelConfig, train: TrainConfig, tune: TuneConfig, work: Path | None = None
) -> Artifact:
    """Search ``tune.space`` for better values than the spec's; trial 0 is the spec, so the result is never below it.

    Args:
        dataset: Artifact of kind ``dataset``; only its train and val splits are used.
        out: Where the artifact is written: ``study.json``, and ``overrides.json`` for ``train(study=...)``.
        model: Network of the spec.
        train: Training of the spec.
        tune: What to search, and for how long.
        work: Folder of the journal. It outlives a killed process, so that the same call goes on with the trial and
            epoch it was in; processes that are given the same folder share the trials. By default ``.<out>.work``
            beside ``out``, removed after success; one that was given is kept.

    Raises:
        SpecError: If a key cannot be searched, a value is refused, or the metric is not of the task.
        TrainError: If every trial diverges, or the search is interrupted.
        ArtifactError: If the data set cannot be read.
    """
    if tune.trials < 1:
        raise SpecError("`tune.trials` is 0, which switches tuning off: set it to 1 or more.")
    check_space(tune.space)
    data = open_dataset(dataset)
    columns = COLUMNS[data.task]
    if tune.metric not in columns:
        raise SpecError(f"`tune.metric` must be one of {', '.join(columns)} for {data.task}, got {tune.metric!r}.")
    if tune.epochs is not None:
        train = train.model_copy(update={"epochs": tune.epochs})
    folder = work or work_folder(out)
    trainer = _trainer(data, model, train, columns[tune.metric])
    study = search(tune, defaults(tune.space, model, train), trainer, folder=folder)
    config = {"model": model.to_json(), "train": train.to_json(), "tune": tune.to_json()}
    found = summarize(study, metric=tune.metric)
    with card.create(out, kind="study", name="tune", config=config, parents={"dataset": data.artifact.card}) as draft:
        (draft.path / STUDY).write_text(json.dumps(found, indent=1) + "\n")
        (draft.path / OVERRIDES).write_text(json.dumps(overrides(study), indent=1) + "\n")
        draft.summary.update(best=found["best"]["value"], default=found["default"]["value"], trials=len(study.trials))
    if work is None:
        shutil.rmtree(folder, ignore_errors=True)
    return Artifact.open(out, kind="study")


def _trainer(data: Dataset, model: ModelConfig, train: TrainConfig, column: str) -> Train:
    """Return the function that trains one trial."""

    def run(params: Overrides, folder: Path, report: Report) -> float | None:
        trial_model, trial_train = override(model, train, params)
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
