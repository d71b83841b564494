"""Step ``validate``: an exported model in the runtime that will serve it, on images that it never saw."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fettle import card
from fettle.card import Artifact
from fettle.data import Dataset, Subset, open_dataset
from fettle.errors import DataError, SpecError
from fettle.evaluate import results
from fettle.evaluate.measures import MEASURES
from fettle.evaluate.parity import Parity
from fettle.evaluate.predict import predict
from fettle.evaluate.predictions import Arrays, Thresholds, read_predictions, save_predictions
from fettle.evaluate.results import Validation
from fettle.evaluate.tasks import TASKS, Evaluation
from fettle.export import Export, open_export
from fettle.export.thresholds import full_curve, set_thresholds
from fettle.runtimes import Engine, open_engine
from fettle.spec import DetectionConfig

log = logging.getLogger("fettle")


def validate(
    export: Path,
    dataset: Path,
    out: Path,
    *,
    runtime: str,
    name: str | None = None,
    reference: Path | None = None,
    detections: DetectionConfig | None = None,
    threads: int | None = None,
) -> Artifact:
    """Predict the test and val splits with the exported file and measure how good that is.

    A detector is run once for its full curve, which tells what it answers at any threshold: its confidence is fitted
    on val, and the metrics on test are of the file that is served with it.

    Args:
        export: ``export`` artifact.
        dataset: ``dataset`` artifact.
        out: Where the ``validation`` artifact is written.
        runtime: Runtime to load it in; empty for the only one that it was made for.
        name: Of the candidate; by default ``<recipe>-<runtime>``.
        reference: ``validation`` of what the predictions should equal, such as the baseline's.
        detections: Of a detector: whether its confidence is fitted anew; by default it is.
        threads: Threads; by default all cores.

    Raises:
        SpecError: If the export does not run in ``runtime``.
        DataError: If there is no test image, no object in them, or the dataset has other classes.
        ArtifactError: If the outputs are not what the task's are, or the reference is of other images.
    """
    exported, data = open_export(export), open_dataset(dataset)
    runtime = runtime or exported.runtimes[0]
    _check(exported, data, runtime)
    task, name = TASKS[exported.task], name or f"{exported.recipe}-{runtime}"
    parents = {"export": card.read_card(export), "dataset": data.artifact.card}
    if reference is not None:
        parents["reference"] = Artifact.open(reference, kind="validation").card
    log.info("validate %s: %d test images", name, len(data.subset("test")))
    with _full_curve(exported, runtime, threads) as engine:
        test, val = (_predict(engine, task, data.subset(split), exported, name) for split in ("test", "val"))
    studied, studied_val = (task.study(each, len(data.classes)) if each else None for each in (test, val))
    refit = detections is None or detections.refit
    thresholds = task.fit(studied_val, exported.thresholds) if refit and val else exported.thresholds
    validation = Validation(
        candidate=name,
        recipe=name.removesuffix(f"-{runtime}"),
        runtime=runtime,
        precision=exported.precision,
        task=exported.task,
        classes=exported.classes,
        test=task.metrics(studied, thresholds, exported.classes),
        val=task.metrics(studied_val, thresholds, exported.classes) if val else None,
        reference=parents["reference"].name if reference is not None else None,
        parity=_parity(task, test, thresholds, reference),
        exported=exported.thresholds,
        thresholds=thresholds,
    )
    config = {"runtime": runtime, "candidate": name, "refit": refit}
    with card.create(out, kind="validation", name=name, config=config, parents=parents) as draft:
        save_predictions(draft.path, test=test, val=val)
        results.save(draft.path / results.METRICS, validation)
        draft.summary.update(_summary(validation))
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
    test = data.subset("test")
    if not len(test):
        raise DataError(f"{data.artifact.path} has no test image: ingest it with `split.test` above 0.")
    if not len(TASKS[exported.task].truth(test)["truth_labels"]):
        raise DataError(
            f"{data.artifact.path} has no object in its {len(test)} test images: nothing can be measured on them. "
            "Annotate some, or split by another seed."
        )


@contextlib.contextmanager
def _full_curve(exported: Export, runtime: str, threads: int | None) -> Iterator[Engine]:
    """Open an engine; where the export has thresholds, of a copy that answers all it can."""
    with contextlib.ExitStack() as stack:
        if curve := full_curve(exported):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fettle-"))
            exported = set_thresholds(exported, Path(folder), **curve)
        options = exported.runtime_options(runtime)
        yield stack.enter_context(open_engine(runtime, exported.file, threads=threads, options=options))


def _predict(engine: Engine, task: Evaluation, subset: Subset, exported: Export, name: str) -> Arrays:
    """Return the checked outputs and the truth of a split; nothing of an empty one."""
    if not len(subset):
        return {}
    outputs = predict(engine, subset.images)
    return {**task.check(outputs, len(exported.classes), exported.image_size, name), **task.truth(subset)}


def _parity(task: Evaluation, test: Arrays, thresholds: Thresholds, reference: Path | None) -> Parity | None:
    if reference is None:
        return None
    theirs = results.load(reference / results.METRICS, Validation).thresholds
    return task.parity(test, thresholds, read_predictions(reference), theirs)


def _summary(validation: Validation) -> dict[str, float | None]:
    scores = {each.name: getattr(validation.test, each.name) for each in MEASURES[validation.task]}
    return {**scores, **validation.thresholds}
