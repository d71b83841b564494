"""Step ``gather``: the ``trials`` of several workers in, the ``study`` that they are out."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from fettle import card
from fettle.card import Artifact
from fettle.errors import StorageError
from fettle.spec import ModelConfig, TrainConfig, TuneConfig
from fettle.storage import open_store
from fettle.tune.identity import settings_of, study_key
from fettle.tune.results import TRIALS, rebuild, write_study

log = logging.getLogger("fettle")


def gather(
    dataset: Path,
    trials: Mapping[str, Path],
    out: Path,
    *,
    model: ModelConfig,
    train: TrainConfig,
    tune: TuneConfig,
    shared: str | None = None,
) -> Artifact:
    """Put together what workers found, and remove the journal that they shared.

    Args:
        dataset: Artifact of kind ``dataset``.
        trials: Artifacts of kind ``trials``, by worker.
        out: Where the artifact is written, as by :func:`fettle.steps.tune.tune`.
        model: As the workers were given it.
        train: As the workers were given it.
        tune: As the workers were given it.
        shared: As the workers were given it.

    Raises:
        TrainError: If every trial diverged.
        ArtifactError: If an artifact cannot be read.
    """
    source, settings = card.read_card(dataset), settings_of(model, train, tune)
    found = {worker: Artifact.open(path, kind="trials") for worker, path in trials.items()}
    study = rebuild(tune, [row for each in found.values() for row in json.loads((each.path / TRIALS).read_text())])
    parents = {"dataset": source, **{worker: each.card for worker, each in found.items()}}
    with card.create(out, kind="study", name="tune", config=settings, parents=parents) as draft:
        draft.summary.update(write_study(draft.path, study, metric=tune.metric))
    if shared is not None:
        _forget(shared, study_key(source, settings))
    return Artifact.open(out, kind="study")


def _forget(shared: str, key: str) -> None:
    try:
        open_store(shared).delete(key)
    except StorageError as error:
        log.warning("%s: the study is complete, delete %s there", str(error).rstrip("."), key)
