"""A run that can be taken up again: the folder says which run it is, and in which arithmetic it computes."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from fettle.card import digest_json
from fettle.data.dataset import Dataset
from fettle.models.architecture import Architecture
from fettle.spec.train import DistilConfig, TrainConfig
from fettle.train.files import LAST, RUN, write_json

NO_EFFECT = {"workers", "trackers"}  # keys of TrainConfig that do not change the weights
log = logging.getLogger("fettle")


def begin(
    folder: Path,
    model: nn.Module,
    architecture: Architecture,
    dataset: Dataset,
    config: TrainConfig,
    *,
    choose: Callable[[torch.device], str],
    teacher: nn.Module | None = None,
    distil: DistilConfig | None = None,
) -> str:
    """Take up the run in ``folder`` if it is this one, else start afresh; return its precision.

    Args:
        folder: Of the run; a run with other arguments that was left there is discarded.
        model: With its initial weights.
        architecture: Of the model.
        dataset: What it will see.
        config: How it will be trained.
        choose: The device to the precision of a new run.
        teacher: What else it will learn from.
        distil: How.
    """
    identity = digest_json(
        {
            "dataset": dataset.artifact.card.digest,
            "architecture": architecture.to_json(),
            "config": config.model_dump(mode="json", exclude=NO_EFFECT),
            "distil": distil and distil.to_json(),
            "weights": [digest_weights(network) for network in (model, teacher) if network is not None],
        }
    )
    run = _read_run(folder / RUN)
    if run.get("identity") == identity:
        if (folder / LAST).exists():
            log.info("going on with the run in %s", folder)
        return run["precision"]
    if run:
        log.warning("the unfinished run in %s had other settings: starting afresh", folder)
    shutil.rmtree(folder, ignore_errors=True)
    precision = choose(find_device(config))
    write_json(folder / RUN, {"identity": identity, "precision": precision})
    return precision


def find_device(config: TrainConfig) -> torch.device:
    """Return where the run computes."""
    wanted = config.trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda")
    return torch.device("cuda" if wanted and torch.cuda.is_available() else "cpu")


def digest_weights(model: nn.Module) -> str:
    """Return a digest of every parameter and buffer."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read_run(file: Path) -> dict[str, str]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        return {}
