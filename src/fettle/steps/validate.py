"""Step ``validate``: an exported model in the runtime that will serve it, on images that it never saw."""

import logging
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from fettle import card
from fettle.card import Artifact
from fettle.data import Dataset, open_dataset
from fettle.errors import ArtifactError, DataError, SpecError
from fettle.evaluate import results
from fettle.evaluate.metrics import METRICS
from fettle.evaluate.parity import Parity, parity
from fettle.evaluate.predict import CHECKS, predict
from fettle.evaluate.results import Validation
from fettle.export import Export, open_export
from fettle.runtimes import Engine, open_engine

log = logging.getLogger("fettle")


def validate(
    export: Path,
    dataset: Path,
    out: Path,
    *,
    runtime: str,
    name: str | None = None,
    reference: Path | None = None,
    threads: int | None = None,
) -> Artifact:
    """Predict the test and val splits with the exported file and measure how good that is.

    Args:
        export: ``export`` artifact.
        dataset: ``dataset`` artifact.
        out: Where the ``validation`` artifact is written.
        runtime: Runtime to load it in.
        name: Of the candidate; by default ``<recipe>-<runtime>``.
        reference: ``validation`` of what the predictions should equal, such as the baseline's.
        threads: Threads; by default all cores.

    Raises:
        SpecError: If the export does not run in ``runtime``.
        DataError: If there is no test image, or the dataset has other classes.
        ArtifactError: If the outputs are no probabilities, or the reference is of other images.
    """
    exported, data = open_export(export), open_dataset(dataset)
    _check(exported, data, runtime)
    name = name or f"{exported.recipe}-{runtime}"
    parents = {"export": card.read_card(export), "dataset": data.artifact.card}
    if reference is not None:
        parents["reference"] = Artifact.open(reference, kind="validation").card
    log.info("validate %s: %d test images", name, len(data.subset("test")))
    with open_engine(runtime, exported.file, threads=threads, options=exported.runtime_options(runtime)) as engine:
        test, val = (_predict(engine, data, split, name) for split in ("test", "val"))
    validation = Validation(
        candidate=name,
        recipe=name.removesuffix(f"-{runtime}"),
        runtime=runtime,
        precision=exported.precision,
        task=exported.task,
        classes=exported.classes,
        test=METRICS[exported.task](*test, exported.classes),
        val=METRICS[exported.task](*val, exported.classes) if len(val[1]) else None,
        reference=parents["reference"].name if reference is not None else None,
        parity=_parity(test[0], reference),
    )
    with card.create(
        out, kind="validation", name=name, config={"runtime": runtime, "candidate": name}, parents=parents
    ) as draft:
        np.savez(
            draft.path / results.PREDICTIONS,
            probabilities=test[0],
            labels=test[1],
            val_probabilities=val[0],
            val_labels=val[1],
        )
        results.save(draft.path / results.METRICS, validation)
        metrics = validation.test
        draft.summary.update(
            accuracy=metrics.accuracy, macro_f1=metrics.macro_f1, auroc=metrics.auroc, ece=metrics.ece, nll=metrics.nll
        )
    return Artifact.open(out, kind="validation", verify=False)


def _check(exported: Export, data: Dataset, runtime: str) -> None:
    if runtime not in exported.runtimes:
        raise SpecError(
            f"`runtime` must be one of {', '.join(exported.runtimes)} for {exported.path}, got {runtime!r}."
        )
    if exported.classes != data.classes:
        raise DataError(
            f"{exported.path} knows the classes {', '.join(exported.classes)}, {data.artifact.path} has "
            f"{', '.join(data.classes)}: validate on the dataset that the model was trained on."
        )
    if not len(data.subset("test")):
        raise DataError(f"{data.artifact.path} has no test image: ingest it with `split.test` above 0.")


def _predict(engine: Engine, data: Dataset, split: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the checked outputs and the labels of a split; of an empty one, empty arrays."""
    subset = data.subset(split)
    if not len(subset):
        return np.zeros((0, len(data.classes)), np.float32), subset.labels
    return CHECKS[data.task](predict(engine, subset.images), len(data.classes), name=name), subset.labels


def _parity(probabilities: np.ndarray, reference: Path | None) -> Parity | None:
    return None if reference is None else parity(probabilities, read_predictions(reference)[0])


def read_predictions(validation: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and labels of the test split.

    Raises:
        ArtifactError: If the file cannot be read.
    """
    file = validation / results.PREDICTIONS
    try:
        with np.load(file) as arrays:
            return arrays["probabilities"], arrays["labels"]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ArtifactError(f"{file} cannot be read ({error}): validate again.") from None
