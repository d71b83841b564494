"""Step ``train``: a ``dataset`` in, a fitted ``model`` out."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch

from fettle import card
from fettle.card import Artifact, Card, digest_file
from fettle.data.dataset import Dataset, open_dataset
from fettle.errors import SpecError
from fettle.export import open_export
from fettle.models.architecture import Architecture
from fettle.models.files import save_model, save_parts
from fettle.models.registry import build_model, find_family, measured
from fettle.spec import DistilConfig, ModelConfig, Task, TrainConfig
from fettle.train.exported_teacher import ExportedTeacher
from fettle.train.files import FINAL
from fettle.train.launch import is_launched, launch
from fettle.train.result import HISTORY, FitResult
from fettle.train.team import processes as wanted_processes
from fettle.train.trainers import check_shareable, find_trainer
from fettle.tune.results import OVERRIDES
from fettle.tune.space import override


def train(
    dataset: Path,
    out: Path,
    *,
    model: ModelConfig,
    train: TrainConfig,
    study: Path | None = None,
    teacher: Path | None = None,
    distil: DistilConfig | None = None,
    work: Path | None = None,
    processes: int = 1,
) -> Artifact:
    """Fit a network from ``model.weights``.

    Args:
        dataset: Artifact of kind ``dataset``.
        out: Where the artifact is written.
        model: Family, options and initial weights.
        train: How to fit.
        study: Artifact of kind ``study`` whose best values replace those of ``model`` and ``train``.
        teacher: Artifact of kind ``export``, such as an ensemble, whose answers are learnt from beside the labels.
        distil: How much; needs ``teacher``.
        work: Folder for checkpoints, by default ``.<out>.work`` beside ``out``. It outlives a killed process, so that
            the same call goes on from there, and is removed after success.
        processes: Processes of this machine that train together, where ``train.trainer.devices`` does not say it.

    Raises:
        SpecError: If the family, an option or the weights do not fit.
        TrainError: If training diverges or is interrupted.
        ArtifactError: If the data set or the weights cannot be read.
    """
    work = work or work_folder(out)
    if not is_launched() and (count := wanted_processes(train, default=processes)) > 1:
        check_shareable(model.family, count)
        arguments = {
            "dataset": dataset, "model": model.to_json(), "train": train.to_json(), "study": study, "teacher": teacher,
            "distil": distil and distil.to_json(), "work": work,
        }  # fmt: skip
        launch("train", out, arguments, processes=count)
        return Artifact.open(out, kind="model")
    data = open_dataset(dataset)
    parents = {"dataset": data.artifact.card}
    if study is not None:
        found = Artifact.open(study, kind="study")
        parents["study"] = found.card
        model, train = override(model, train, json.loads((found.path / OVERRIDES).read_text()))
    architecture = make_architecture(data, model)
    network = initial_model(architecture, model, seed=train.seed)
    config = {"model": model.to_json(), "train": train.to_json()}
    taught: dict[str, Any] = {}
    if teacher is not None and distil is not None:
        taught = {"teacher": _open_teacher(teacher, architecture), "distil": distil}
        config["distil"] = distil.to_json()
        parents["teacher"] = card.read_card(teacher)
    result = find_trainer(architecture)(network, architecture, data, train, folder=work, **taught)
    parents |= _weights_parent(architecture, model.weights, config)
    return write_model(out, result, architecture, work, config=config, parents=parents)


def _open_teacher(export: Path, student: Architecture) -> ExportedTeacher:
    """Open an export in the first of its runtimes.

    Raises:
        SpecError: If it knows other classes, or takes images of another size.
    """
    taught = open_export(export)
    if (taught.classes, taught.image_size) != (student.classes, student.image_size):
        raise SpecError(
            f"{export} knows {', '.join(taught.classes)} at {taught.image_size} px, the student is to learn "
            f"{', '.join(student.classes)} at {student.image_size} px: a teacher has the same."
        )
    return ExportedTeacher(taught.file, taught.runtimes[0], student, digest=card.read_card(export).digest)


def make_architecture(data: Dataset, model: ModelConfig) -> Architecture:
    """Return the network that ``model`` asks for, with the classes of ``data``.

    Raises:
        SpecError: If the images were stored at another size, or the family is not known.
    """
    if model.image_size != data.image_size:
        raise SpecError(
            f"`model.image_size` is {model.image_size}, but the data set holds {data.image_size} px: ingest again."
        )
    family = find_family(data.task, model.family)
    architecture = Architecture(
        cast(Task, data.task), model.family, data.classes, model.image_size, model.options, family.mean, family.std
    )
    return measured(architecture, data.subset("train"))


def initial_model(architecture: Architecture, model: ModelConfig, *, seed: int) -> torch.nn.Module:
    """Build the network; the same seed gives the same weights."""
    torch.manual_seed(seed)
    return build_model(architecture, weights=model.weights)


def work_folder(out: Path) -> Path:
    return out.with_name(f".{out.name}.work")


def write_model(
    out: Path,
    result: FitResult,
    architecture: Architecture,
    work: Path,
    *,
    config: Mapping[str, Any],
    parents: Mapping[str, Card],
) -> Artifact:
    """Write a ``model`` artifact of what was fitted, then remove ``work``."""
    with card.create(out, kind="model", name=architecture.family, config=config, parents=parents) as draft:
        save_model(draft.path, result.model, architecture)
        save_parts(draft.path, result.model, work / FINAL)
        shutil.copy(work / HISTORY, draft.path)
        shutil.copytree(work / "log", draft.path / "log")
        draft.summary.update(
            best=dict(result.best),
            epochs=len(result.history),
            arithmetic=result.precision,
            parameters=sum(parameter.numel() for parameter in result.model.parameters()),
            train_seconds=round(sum(row["seconds"] for row in result.timing), 1),
            images_per_second=max(row["images_per_second"] for row in result.timing),
        )
    shutil.rmtree(work, ignore_errors=True)
    return Artifact.open(out, kind="model")


def _weights_parent(architecture: Architecture, weights: str, config: dict[str, Any]) -> dict[str, Card]:
    """Name what the network started from: an artifact becomes a parent, a file's digest goes into the card."""
    path = Path(weights)
    if weights in ("none", find_family(architecture.task, architecture.family).weights):
        return {}
    if path.is_dir():
        return {"weights": card.read_card(path)}
    config["weights"] = digest_file(path)
    return {}
