"""Step ``finetune``: a (pruned) ``model`` in, the same network trained some more out."""

from pathlib import Path

from fettle.card import Artifact, read_card
from fettle.data.dataset import open_dataset
from fettle.errors import SpecError
from fettle.models.files import load_model
from fettle.spec import FinetuneConfig, TrainConfig
from fettle.spec.recipes import DISTILLED
from fettle.steps.train import work_folder, write_model
from fettle.train.launch import is_launched, launch
from fettle.train.rounding import rounding
from fettle.train.team import processes as wanted_processes
from fettle.train.trainers import check_shareable, find_trainer


def finetune(
    model: Path,
    dataset: Path,
    out: Path,
    *,
    config: FinetuneConfig,
    train: TrainConfig,
    parent: Path | None = None,
    work: Path | None = None,
    processes: int = 1,
) -> Artifact:
    """Train ``model`` further, at ``config``'s epochs and learning rate and otherwise as ``train`` says.

    Args:
        model: Artifact of kind ``model`` to start from; its pruning plan is kept.
        dataset: Artifact of kind ``dataset``.
        out: Where the artifact is written.
        config: What differs from ``train``.
        train: How the parent was trained.
        parent: Artifact of kind ``model`` to distil from, such as the unpruned network; ``None`` learns from the
            labels alone.
        work: Folder for checkpoints, see :func:`fettle.steps.train.train`.
        processes: Likewise.

    Raises:
        SpecError: If the data set's classes or image size are not the model's.
        TrainError: If training diverges or is interrupted.
        ArtifactError: If an artifact cannot be read.
    """
    work = work or work_folder(out)
    if not is_launched() and (count := wanted_processes(train, default=processes)) > 1:
        check_shareable(read_card(model).name, count)
        arguments = {
            "model": model, "dataset": dataset, "config": config.to_json(), "train": train.to_json(), "parent": parent,
            "work": work,
        }  # fmt: skip
        launch("finetune", out, arguments, processes=count)
        return Artifact.open(out, kind="model")
    student, data = Artifact.open(model, kind="model"), open_dataset(dataset)
    network, architecture = load_model(student.path)
    if (architecture.classes, architecture.image_size) != (data.classes, data.image_size):
        raise SpecError(f"{model} was trained for other classes or another image size than {dataset} has.")
    distil = config.distil if parent is not None and architecture.task in DISTILLED else None
    teacher = Artifact.open(parent, kind="model") if parent is not None and distil is not None else None
    with rounding(network, wanted=config.qat):
        result = find_trainer(architecture)(
            network,
            architecture,
            data,
            train.model_copy(update={"epochs": config.epochs, "lr": config.lr}),
            folder=work,
            teacher=load_model(teacher.path)[0] if teacher else None,
            distil=distil,
        )
    parents = {"model": student.card, "dataset": data.artifact.card, **({"teacher": teacher.card} if teacher else {})}
    settings = {"finetune": config.to_json(), "train": train.to_json()}
    return write_model(out, result, architecture, work, config=settings, parents=parents)
