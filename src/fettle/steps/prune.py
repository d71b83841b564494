"""Step ``prune``: a trained model in, a smaller one out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fettle import card
from fettle.card import Artifact
from fettle.data import Dataset, open_dataset
from fettle.errors import OptimizeError
from fettle.export.served import Normalize
from fettle.models import Architecture, load_model, read_plan, save_model
from fettle.models.prunable import make_prunable
from fettle.optimize import pruning
from fettle.optimize.calibration import calibration_images
from fettle.optimize.reconstruction import answers_of, estimate_norms, reconstruct, reconstruction_images
from fettle.search.speed import prune_for_speed
from fettle.search.track import CALIBRATION
from fettle.spec import PruneConfig

TAYLOR_IMAGES = 256
TAYLOR_BATCH = 16


def prune(model: Path, out: Path, *, dataset: Path, config: PruneConfig) -> Artifact:
    """Remove the channels of ``model`` that matter least; fine-tuning is a step of its own.

    Args:
        model: ``model`` artifact.
        out: Where the pruned ``model`` artifact is written.
        dataset: ``dataset`` artifact; training images are looked at for ``taylor`` importance and to reconstruct.
        config: How much to prune, and by which importance.

    Raises:
        ArtifactError: If an input is missing or altered.
        OptimizeError: If nothing was removed, the share or the speed is out of reach, or the importance does not suit
            the task.
    """
    source, data = Artifact.open(model, kind="model"), open_dataset(dataset)
    network, architecture = make_prunable(*load_model(model))
    batches = BATCHES.get(architecture.task)
    if batches is None and config.importance == "taylor":
        raise OptimizeError(
            f"`prune.importance: taylor` knows the loss of {', '.join(BATCHES)}, not of {architecture.task}: take "
            "group_norm or l1."
        )
    size = architecture.image_size

    def remove(config: PruneConfig) -> pruning.PruneResult:
        return pruning.prune(
            network,
            config,
            example_input=torch.zeros(2, 3, size, size),
            batches=batches(data, architecture) if batches else None,
        )

    if config.speed is None:
        result, told = remove(config), {}
    else:
        images = calibration_images(data, CALIBRATION)
        found = prune_for_speed(network, architecture, config, config.speed, prune=remove, images=images)
        result, told = found.pruned, {"speed": found.to_json()}
    if config.reconstruct:
        examples = reconstruction_images(data, architecture)
        estimate_norms(network, examples)  # a short training has left them behind
        reconstruct(result.model, answers_of(network, examples), examples, kept=result.kept)
    parents = {"model": source.card, "dataset": data.artifact.card}
    with card.create(out, kind="model", name=source.card.name, config=config.to_json(), parents=parents) as draft:
        save_model(draft.path, result.model, replace(architecture, plan=read_plan(result.model)))
        draft.summary.update(
            params=result.after.params,
            macs=result.after.macs,
            params_removed=round(result.removed("params"), 4),
            macs_removed=round(result.removed("macs"), 4),
            **told,
        )
    return Artifact.open(out, kind="model")


def training_batches(data: Dataset, architecture: Architecture) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield normalized training images and labels, drawn once and always the same."""
    normalize, train = Normalize(architecture.mean, architecture.std), data.subset("train")
    order = np.random.default_rng(0).permutation(len(train))[:TAYLOR_IMAGES]
    for start in range(0, len(order), TAYLOR_BATCH):
        rows = order[start : start + TAYLOR_BATCH]
        yield normalize(torch.from_numpy(train.images[rows])), torch.from_numpy(train.labels[rows])


# What ``taylor`` needs, by task: the loss that it differentiates is that of classifiers.
BATCHES: Mapping[str, Callable[[Dataset, Architecture], Iterator[tuple[torch.Tensor, torch.Tensor]]]] = {
    "classify": training_batches
}
