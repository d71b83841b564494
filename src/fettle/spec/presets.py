"""Training presets, as data. Keys are those of :class:`fettle.spec.train.TrainConfig`."""

from collections.abc import Mapping
from typing import Any

FLIP = {"HorizontalFlip": {"p": 0.5}}

# YOLOv5 on a ResNet; the warm-up is the first tenth.
YOLOV5: Mapping[str, Any] = {
    "optimizer": "adamw", "lr": 1e-3, "weight_decay": 5e-4, "schedule": "cosine", "final_lr": 0.01,
    "warmup_share": 0.1, "backbone_lr": 0.1, "ema": 0.999, "label_smoothing": 0.0,
    "balance": {"loss": 0.0, "sampling": 0.0}, "mixup": 0.0, "mosaic": 0.5,
    "clip_norm": 10.0, "patience": 0, "epochs": 50, "batch_size": 16,
    "loss": {"box": 0.1, "objectness": 1.5, "classification": 0.8},
    "augment": [
        FLIP,
        {"Affine": {"scale": [0.7, 1.3], "translate_percent": [-0.1, 0.1], "p": 0.7}},
        {"ColorJitter": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.4, "hue": 0.015, "p": 0.7}},
    ],
}  # fmt: skip

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # The bare baseline: what most scripts do.
    "plain": {
        "optimizer": "adamw", "lr": 1e-3, "weight_decay": 1e-2, "schedule": "cosine", "label_smoothing": 0.0,
        "balance": {"loss": 0.0, "sampling": 0.0}, "mixup": 0.0, "clip_norm": 0.0, "patience": 0,
        "epochs": 12, "batch_size": 32, "augment": [FLIP],
    },
    # Surface defects: elastic and grid distortions, local contrast, occlusion, sensor noise.
    "defect": {
        "optimizer": "adamw", "lr": 8e-4, "weight_decay": 5e-4, "schedule": "onecycle", "label_smoothing": 0.1,
        "balance": {"loss": 0.5, "sampling": 0.5}, "mixup": 0.2, "clip_norm": 1.0, "patience": 12,
        "epochs": 25, "batch_size": 24,
        "augment": [
            FLIP,
            {"VerticalFlip": {"p": 0.5}},
            {"ElasticTransform": {"alpha": 1, "sigma": 50, "approximate": True, "p": 0.2}},
            {"GridDistortion": {"num_steps": 5, "distort_limit": 0.3, "p": 0.2}},
            {"CLAHE": {"clip_limit": 2.0, "tile_grid_size": [8, 8], "p": 0.2}},
            # Up to 8 holes of up to 32 px at 224 px: shares of the side, so that they suit every image size.
            {"CoarseDropout": {"num_holes_range": [1, 8], "hole_height_range": [0.02, 0.143],
                               "hole_width_range": [0.02, 0.143], "p": 0.2}},
            {"GaussNoise": {"std_range": [0.01, 0.05], "p": 0.2}},
            {"GaussianBlur": {"blur_limit": [3, 5], "p": 0.1}},
        ],
    },
    # Facial expressions: small faces, many epochs, strong geometry and colour.
    "expression": {
        "optimizer": "adamw", "lr": 1.5e-4, "weight_decay": 1e-2, "schedule": "cosine", "warmup_epochs": 5,
        "label_smoothing": 0.15, "balance": {"loss": 0.5, "sampling": 0.5}, "mixup": 0.0, "clip_norm": 1.0,
        "patience": 25, "epochs": 120, "batch_size": 48,
        "augment": [
            FLIP,
            {"Affine": {"rotate": [-20, 20], "translate_percent": [-0.15, 0.15], "shear": [-10, 10], "p": 1.0}},
            {"ColorJitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.15, "p": 1.0}},
            {"Perspective": {"scale": 0.2, "p": 0.3}},
            {"Erasing": {"p": 0.25}},
        ],
    },
    # https://docs.ultralytics.com/usage/cfg/: what is not named here is Ultralytics' default.
    "yolov8": {
        "optimizer": "adamw", "lr": 0.002, "final_lr": 0.1, "schedule": "cosine", "warmup_epochs": 3,
        "weight_decay": 5e-4, "label_smoothing": 0.1, "balance": {"loss": 0.0, "sampling": 0.0},
        "mixup": 0.1, "mosaic": 1.0, "clip_norm": 10.0, "patience": 0,
        "epochs": 50, "batch_size": 16, "augment": [],
        "options": {"degrees": 5.0, "translate": 0.15, "shear": 2.0, "perspective": 0.0003, "copy_paste": 0.1},
    },
    "yolov5": YOLOV5,
    # Few images or small objects: less regularization, no mosaic.
    "yolov5-small": {**YOLOV5, "mosaic": 0.0, "batch_size": 8, "weight_decay": 1e-4},
    "yolov5-focal": {**YOLOV5, "loss": {**YOLOV5["loss"], "focal": 1.5}},
    "yolov5-smooth": {**YOLOV5, "label_smoothing": 0.1},
    # Faces at 128 px. The crop leaves 112 of them in the mean, at the full size again.
    "arcface": {
        "optimizer": "adamw", "lr": 5e-4, "weight_decay": 1e-4, "schedule": "cosine", "warmup_epochs": 3,
        "label_smoothing": 0.1, "balance": {"loss": 0.0, "sampling": 0.0}, "mixup": 0.0, "clip_norm": 1.0,
        "patience": 0, "epochs": 50, "batch_size": 64,
        "augment": [
            {"CropAndPad": {"percent": [-0.125, 0.0], "sample_independently": True, "keep_size": True, "p": 1.0}},
            FLIP,
            {"ColorJitter": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.0, "p": 1.0}},
            {"Rotate": {"limit": [-15, 15], "p": 1.0}},
        ],
    },
}  # fmt: skip

# By task and family, where it is not the default of ``train.preset``.
FAMILY_PRESETS: Mapping[tuple[str, str], str] = {
    ("detect", "yolov8"): "yolov8",
    ("detect", "yolov5_resnet"): "yolov5",
    ("embed", "arcface"): "arcface",
    ("classify", "yolov8"): "yolov8",
    ("classify", "yolov5_resnet"): "yolov5",
    ("classify", "arcface"): "arcface",
}


def with_family_preset(values: Any, *, task: str) -> Any:
    """Return a section with ``model`` and ``train``, as written, with the preset that its family brings."""
    if not isinstance(values, dict) or not all(isinstance(values.get(key, {}), dict) for key in ("model", "train")):
        return values
    preset = FAMILY_PRESETS.get((task, str(values.get("model", {}).get("family"))))
    return {**values, "train": {"preset": preset, **values.get("train", {})}} if preset else values
