"""``train`` in the words of Ultralytics (https://docs.ultralytics.com/usage/cfg/)."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ultralytics.cfg import get_cfg
from ultralytics.utils import DEFAULT_CFG_DICT

from fettle.errors import SpecError
from fettle.spec.train import TrainConfig

# What `train.options` may set: augmentation, the gains of the loss, and details of the schedule.
OPTIONS = frozenset(
    ("degrees", "translate", "scale", "shear", "perspective", "flipud", "fliplr", "bgr", "hsv_h", "hsv_s", "hsv_v",
     "cutmix", "copy_paste", "close_mosaic", "multi_scale", "box", "cls", "dfl", "cls_pw", "nbs", "momentum",
     "warmup_momentum", "warmup_bias_lr", "freeze", "iou", "max_det")
)  # fmt: skip
OPTIMIZERS = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"}
SCHEDULES = {"cosine": True, "constant": False}
MOSAIC_OFF = 0.2  # share of a short run that ends without mosaics; ten epochs of a long one
MONITORS: Mapping[str, tuple[str, bool]] = {
    "map50_95": ("map50_95", True),
    "map50": ("map50", True),
    "precision": ("precision", True),
    "recall": ("recall", True),
    "loss": ("val_loss", False),
    "epoch": ("epoch", True),
}


def arguments(config: TrainConfig, *, image_size: int, device: str, folder: Path) -> dict[str, Any]:
    """Return the overrides of Ultralytics' trainer.

    Gradients are not accumulated to its nominal batch of 64 (``options: {nbs: 64}`` does that): a step is a batch.
    Biases do not warm up from a learning rate of .1, which is meant for SGD.

    Raises:
        SpecError: If a key of ``train`` has no effect here, or an option is unknown, refused or set by another key.
    """
    _refuse(config)
    values = {
        "model": "yolov8.yaml", "data": "fettle", "task": "detect", "mode": "train", "imgsz": image_size,
        "save_dir": str(folder), "device": device, "epochs": config.epochs, "batch": config.batch_size,
        "nbs": config.batch_size, "seed": config.seed, "optimizer": OPTIMIZERS[config.optimizer], "momentum": 0.9,
        "lr0": config.lr, "lrf": config.final_lr if SCHEDULES[config.schedule] else 1.0,
        "cos_lr": SCHEDULES[config.schedule], "weight_decay": config.weight_decay, "warmup_bias_lr": 0.0,
        "warmup_epochs": config.warmup_epochs or config.warmup_share * config.epochs, "cls_pw": config.balance.loss,
        "mosaic": config.mosaic, "mixup": config.mixup, "close_mosaic": min(10, round(MOSAIC_OFF * config.epochs)),
        "amp": False, "patience": 0, "plots": False, "verbose": False, "pretrained": False,
        **config.options,
    }  # fmt: skip
    try:
        get_cfg(overrides=values)
    except (TypeError, ValueError, SyntaxError) as error:
        raise SpecError(f"`train.options` {dict(config.options)} are refused by Ultralytics: {error}") from error
    return values


def _refuse(config: TrainConfig) -> None:
    """Refuse what would be passed over in silence."""
    for key in config.options:
        if key not in OPTIONS:
            raise SpecError(f"`train.options.{key}` {_reason(key)}")
    if config.schedule not in SCHEDULES:
        raise SpecError(f"`train.schedule` must be cosine or constant for yolov8, got {config.schedule!r}.")
    if config.augment:
        raise SpecError("`train.augment` has no effect on yolov8: `train.options` sets Ultralytics' own augmentation.")
    if config.balance.sampling:
        raise SpecError("`train.balance.sampling` must be 0 for yolov8; `balance.loss` weighs rare classes.")
    if config.backbone_lr != 1:
        raise SpecError("`train.backbone_lr` must be 1 for yolov8; `options: {freeze: 10}` holds its backbone still.")
    if set(config.trainer) - {"accelerator"}:
        raise SpecError("`train.trainer` is for Lightning; yolov8 takes `accelerator` alone: it trains on one device.")
    monitor = config.monitor or "map50_95"
    if monitor not in MONITORS:
        raise SpecError(f"`train.monitor` must be one of {', '.join(MONITORS)} for yolov8, got {monitor!r}.")


def _reason(key: str) -> str:
    if key in DEFAULT_CFG_DICT:
        return "is set by Fettle from the other keys of `train` and `model`, or has no effect: remove it."
    near = difflib.get_close_matches(key, OPTIONS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(OPTIONS))}."
    return f"is unknown to Ultralytics: {hint}"
