"""Where curves are logged beside ``history.jsonl``: TensorBoard always, W&B and MLflow when the spec names them."""

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from fettle.errors import SpecError


def make_trackers(names: Sequence[str], folder: Path) -> list[Logger]:
    """Return Lightning's loggers, all of which write below ``folder``.

    Raises:
        SpecError: If one is named whose package is not installed.
    """
    for name in names:
        if find_spec(name) is None:
            raise SpecError(f"`train.trackers` names {name}, which is not installed: pip install 'fettle[trackers]'.")
    return [TRACKERS[name](folder) for name in dict.fromkeys(["tensorboard", *names])]


def _tensorboard(folder: Path) -> Logger:
    return TensorBoardLogger(folder, name="tensorboard", version="")


def _wandb(folder: Path) -> Logger:
    """Nothing is sent: ``wandb sync`` uploads the folder when its owner wants it."""
    return WandbLogger(project="fettle", save_dir=folder, offline=True)


def _mlflow(folder: Path) -> Logger:
    """To the server of ``MLFLOW_TRACKING_URI``, else into a file: MLflow 3 refuses its old store of folders."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / 'mlflow.db').absolute()}"
    return MLFlowLogger(experiment_name="fettle", tracking_uri=uri)


TRACKERS: Mapping[str, Callable[[Path], Any]] = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}
