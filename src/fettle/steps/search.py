"""Step ``search``: a trained model in, the fastest forms of it that keep its accuracy out."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fettle import card
from fettle.card import Artifact, digest_json
from fettle.data import open_dataset
from fettle.export.manifest import read_manifest
from fettle.hardware import Passport, passport
from fettle.models import load_model
from fettle.models.prunable import make_prunable
from fettle.search.front import Choice, choose
from fettle.search.ground import identity
from fettle.search.results import SEARCH, tell
from fettle.search.search import Found
from fettle.search.search import search as search_for
from fettle.search.subject import Subject
from fettle.search.trials import WHOLE
from fettle.spec import RuntimeName, SearchConfig, TrainConfig
from fettle.steps.pick import FRONT
from fettle.steps.prune import BATCHES
from fettle.steps.train import work_folder

TABLES = "latency"
EPOCH = 60.0  # seconds, where the card does not tell how long one took


def search(
    model: Path,
    dataset: Path,
    out: Path,
    *,
    config: SearchConfig,
    train: TrainConfig,
    runtimes: Sequence[RuntimeName],
    recipe: str = "auto",
    work: Path | None = None,
) -> Artifact:
    """Search for the fastest form of ``model`` that keeps its accuracy on val.

    Args:
        model: ``model`` artifact.
        dataset: ``dataset`` artifact; its test split is not looked at.
        out: Where the ``search`` artifact is written: ``search.json`` and the exports.
        config: How, and for how long.
        train: How the model was trained; smaller ones are trained again in the same way.
        runtimes: That may serve it.
        recipe: Name of the recipe that it belongs to.
        work: A folder that outlives the step: what is found is kept beside it, so that a search that was stopped, or is
            given more time, goes on. By default ``.<out>.work`` beside ``out``.

    Raises:
        OptimizeError: If no form is possible here, or the work folder holds another search.
        TrainError: If the search was interrupted.
        ArtifactError: If an input is missing or altered.
    """
    subject = open_subject(model, dataset, train)
    source, data = card.read_card(model), subject.data
    # More time goes on with the same search, in the same folder.
    place = (work or work_folder(out)).parent
    folder = place / f"search-{digest_json(identity(subject, config, runtimes))[7:23]}"
    found = search_for(subject, config, runtimes=runtimes, folder=folder, tables=place / TABLES)
    chosen = choose(found, config)
    settings = {"config": config.to_json(), "recipe": recipe, "runtimes": list(runtimes)}
    parents = {"model": source, "dataset": data.artifact.card}
    with card.create(out, kind="search", name=recipe, config=settings, parents=parents) as draft:
        for number, choice in enumerate(chosen, 1):
            _copy(found, choice, draft.path / FRONT / str(number), f"{recipe}-{number}", dataset)
        told = tell(found, chosen, config)
        (draft.path / SEARCH).write_text(json.dumps(told, indent=1) + "\n")
        draft.summary.update(_summary(told))
    return Artifact.open(out, kind="search")


def open_subject(model: Path, dataset: Path, train: TrainConfig) -> Subject:
    """Return what is searched, of artifacts.

    Raises:
        ArtifactError: If one is missing or altered.
    """
    source, data = Artifact.open(model, kind="model"), open_dataset(dataset)
    network, architecture = make_prunable(*load_model(model))
    batches, summary = BATCHES.get(architecture.task), source.card.summary
    return Subject(
        network,
        architecture,
        digest=source.card.digest,
        data=data,
        train=train.model_copy(update={"precision": arithmetic(summary, train, passport())}),
        epoch_seconds=summary.get("train_seconds", 0.0) / max(summary.get("epochs", 1), 1) or EPOCH,
        batches=partial(batches, data, architecture) if batches else None,
    )


def arithmetic(summary: Mapping[str, Any], train: TrainConfig, machine: Passport) -> str:
    """Return the precision in which a model was trained, which need not be found out again; but where a machine would
    have to emulate bf16, what the spec says."""
    known = summary.get("arithmetic", train.precision)
    return train.precision if known == "bf16" and not machine.native_bf16 else known


def _copy(found: Found, choice: Choice, place: Path, name: str, dataset: Path) -> None:
    """Copy an export that was made, and its network where a trial made one."""
    shutil.copytree(found.notebook.exports(choice.owner) / str(choice.standing.form), place)
    resize = card.read_card(dataset).config.get("dataset", {}).get("resize", "squash")
    replace(read_manifest(place), recipe=name, runtimes=(choice.standing.form.runtime,), resize=resize).save()
    if choice.owner != WHOLE:
        trial = next(trial for trial in found.trials if str(trial.number) == choice.owner)
        shutil.copytree(found.notebook.network(trial), place / "network")


def _summary(told: dict[str, Any]) -> dict[str, Any]:
    return {key: told[key] for key in ("sentence", "trials_begun", "trials_left", "seconds")}
