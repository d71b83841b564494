"""``train``: how the network is fitted. A preset is a set of values that any key here overrides."""

from typing import Any, Literal

from pydantic import Field, model_validator

from fettle.spec.base import Section
from fettle.spec.presets import PRESETS


class BalanceConfig(Section):
    """What is done about unequal classes, as exponents of the class weight n / (k * n_c).

    Both at 1 would count a rare class twice; the default shares the correction between the two.
    """

    loss: float = Field(0.5, ge=0, le=1)
    """Exponent of the class weights in the loss; 0 weighs all classes alike."""
    sampling: float = Field(0.5, ge=0, le=1)
    """Exponent of the class weights in the sampler; 0 draws every image once an epoch."""


class DetectionLossConfig(Section):
    """Weights of the parts of ``yolov5_resnet``'s loss."""

    box: float = Field(0.1, ge=0)
    """Of 1 - CIoU."""
    objectness: float = Field(1.5, ge=0)
    """Of whether an anchor holds an object."""
    classification: float = Field(0.8, ge=0)
    """Of which class it is."""
    focal: float = Field(0.0, ge=0)
    """Gamma of the focal loss (Lin et al. 2017) for objectness and class; 0 is plain cross-entropy."""


class ArcFaceConfig(Section):
    """The loss of ``arcface`` (Deng et al. 2019)."""

    margin: float = Field(0.5, ge=0, le=1.57)
    """Angle in radians that is added to the one between an image and its own identity."""
    scale: float = Field(30.0, gt=0)
    """Radius of the sphere: what cosines are multiplied by."""


class TrainConfig(Section):
    """Optimizer, schedule, regularization, augmentation and the loop."""

    preset: Literal[
        "plain", "defect", "expression", "yolov8", "yolov5", "yolov5-small", "yolov5-focal", "yolov5-smooth", "arcface"
    ] = "defect"
    """Values to start from; every other key here overrides it. By default that of the family for detectors and
    embeddings, else ``defect``."""
    epochs: int = Field(25, ge=1)
    """Passes over the training split."""
    batch_size: int = Field(24, ge=2)
    """Images a step, of all processes that train together; a multiple of their number."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """``sgd`` has Nesterov momentum .9."""
    lr: float = Field(8e-4, gt=0, le=10)
    """Peak learning rate."""
    weight_decay: float = Field(5e-4, ge=0)
    """Decoupled for ``adamw``; biases and norms are exempt."""
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    """Learning rate over the steps of the run."""
    warmup_epochs: float = Field(0.0, ge=0)
    """Linear warm-up before ``cosine`` or ``constant``."""
    warmup_share: float = Field(0.0, ge=0, lt=1)
    """The same as a share of the run, where ``warmup_epochs`` is 0."""
    final_lr: float = Field(0.0, ge=0, le=1)
    """Share of ``lr`` that ``cosine`` ends at."""
    backbone_lr: float = Field(1.0, gt=0, le=1)
    """Share of ``lr`` for the layers of a detector's backbone."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of the moving average of the weights that is validated and kept; 0 keeps the weights themselves."""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Probability mass spread over the other classes."""
    balance: BalanceConfig = BalanceConfig()
    """Correction for unequal classes."""
    mixup: float = Field(0.2, ge=0)
    """Alpha of MixUp (Zhang et al. 2018); for detectors its probability. 0 switches it off."""
    mosaic: float = Field(0.0, ge=0, le=1)
    """For detectors: probability that an image is made of four (Bochkovskiy et al. 2020)."""
    loss: DetectionLossConfig = DetectionLossConfig()
    """For ``yolov5_resnet``: parts of the loss."""
    arcface: ArcFaceConfig = ArcFaceConfig()
    """For ``arcface``: margin and scale."""
    clip_norm: float = Field(1.0, ge=0)
    """Largest gradient norm; 0 does not clip."""
    patience: int = Field(12, ge=0)
    """Epochs without a better ``monitor`` before the run stops; 0 never stops early."""
    monitor: str | None = None
    """Validation metric that picks the best checkpoint; by default ``macro_f1``, for detectors ``map50_95``, for
    embeddings ``map_at_r``; ``epoch`` keeps the last one."""
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    """Arithmetic; ``auto`` times some steps in float32 and, where the hardware has it, bf16, and takes the faster."""
    augment: list[dict[str, Any]] = []
    """Albumentations transforms in order, each ``{NAME: {arguments}}``."""
    workers: int | None = Field(None, ge=0)
    """Processes that augment; by default as many as pays on this machine."""
    seed: int = Field(0, ge=0)
    """Seed of initialization, sampling and augmentation."""
    trackers: list[Literal["tensorboard", "wandb", "mlflow"]] = ["tensorboard"]
    """Where curves are logged; W&B and MLflow work offline and must be installed (``fettle[trackers]``)."""
    trainer: dict[str, Any] = {}
    """Passed to ``lightning.Trainer``, such as accelerator. ``devices`` is the number of processes of this machine that
    train together, one a GPU, or ``auto``; several machines are said by ``cluster.steps.train.nodes``."""
    options: dict[str, Any] = {}
    """For ``yolov8``: passed to Ultralytics' trainer, such as degrees, translate, shear, perspective, copy_paste."""

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        preset = PRESETS.get(str(values.get("preset", "defect")), {})
        return {**preset, **values}


class DistilConfig(Section):
    """Learn from the parent's logits as well as from the labels (Hinton et al. 2015); of embeddings, from where the
    parent's lie (cosine) and how far from one another (Park et al. 2019)."""

    weight: float = Field(0.5, ge=0, le=1)
    """Share of the distillation loss."""
    temperature: float = Field(2.0, gt=0)
    """Softens both distributions of a classifier."""
    attention: float = Field(0.0, ge=0)
    """Look where the parent looks, too: weight of the distance between attention maps at each resolution (Zagoruyko and
    Komodakis 2017, who take 1000)."""
