"""``cluster``: what the steps get where the pipeline runs on Kubernetes (``fettle submit``)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from fettle.spec.base import Section

StepName = Literal[
    "ingest", "tune", "gather", "train", "prune", "finetune", "search", "pick", "export", "quantize", "tensorrt",
    "validate", "vote", "benchmark", "select", "promote", "confirm", "report",
]  # fmt: skip
SHARED_STEPS = ("train", "finetune")  # whose processes share every batch
QUANTITY = r"^[1-9][0-9]*(\.[0-9]+)?(Ki|Mi|Gi|Ti)$"


class Toleration(Section):
    """A taint of nodes that the step's pods put up with."""

    key: str
    """Key of the taint, such as ``nvidia.com/gpu``."""
    operator: Literal["Exists", "Equal"] = "Exists"
    """``Equal`` compares ``value`` too."""
    value: str | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Its effect; by default any."""

    @model_validator(mode="after")
    def _a_value_is_compared(self) -> Self:
        if (self.operator == "Equal") != (self.value is not None):
            raise ValueError("operator Equal needs a value, and Exists has none")
        return self


class PodConfig(Section):
    """The pod of a step."""

    cpu: float = Field(0.25, gt=0)
    """Cores that are reserved; what is free on its node the step uses as well."""
    memory: str = Field("512Mi", pattern=QUANTITY)
    """Memory that is reserved, such as ``4Gi``."""
    memory_limit: str | None = Field(None, pattern=QUANTITY)
    """Memory at which the step is ended; by default that of the node."""
    nodes: int = Field(1, ge=1)
    """Machines that train together, each with what is said here: a ``TrainJob`` of Kubeflow's Trainer; for ``train``
    and ``finetune`` alone."""
    gpu: int = Field(0, ge=0)
    """Devices. In ``train`` and ``finetune`` each has a process of its own, and they share every batch."""
    gpu_resource: str = Field("nvidia.com/gpu", pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")
    """Their kind, such as ``nvidia.com/gpu`` or, of a part of one, ``nvidia.com/mig-1g.10gb``."""
    node_selector: dict[str, str] = {}
    """Labels that the node must have."""
    tolerations: list[Toleration] = []
    """Taints of nodes that do not keep the step away."""
    shm: str = Field("1Gi", pattern=QUANTITY)
    """Largest size of ``/dev/shm``, by which workers hand over batches; it counts as memory of the pod."""
    retries: int = Field(1, ge=0)
    """How often a step that failed, or whose pod was lost, is tried again."""
    timeout_minutes: float | None = Field(None, gt=0)
    """Time after which the step is ended."""

    @property
    def millicores(self) -> str:
        """``cpu`` as Kubernetes writes it."""
        return f"{round(self.cpu * 1000)}m"

    @property
    def timeout_seconds(self) -> int | None:
        """``timeout_minutes`` in seconds."""
        return round(self.timeout_minutes * 60) if self.timeout_minutes else None


class ClusterConfig(Section):
    """Pods of the steps on a cluster."""

    defaults: PodConfig = PodConfig()
    """Of every step."""
    steps: dict[StepName, PodConfig] = {}
    """Of single steps, such as ``{train: {gpu: 1, memory: 8Gi}}``; what is not said is as in ``defaults``."""

    training_runtime: str = "torch-distributed"
    """``ClusterTrainingRuntime`` of the steps that run on several nodes."""

    share_pods: bool = True
    """Let a step that comes to nothing without an earlier one run in its pod, such as a validation in that of its
    export: a pod costs some 20 seconds. ``false`` gives each a pod of its own."""

    @model_validator(mode="after")
    def _several_nodes_train(self) -> Self:
        for name in ("defaults", *self.steps):
            if name not in SHARED_STEPS and (self.defaults if name == "defaults" else self.pod(name)).nodes > 1:
                key = "defaults" if name == "defaults" else f"steps.{name}"
                raise ValueError(f"{key}.nodes must be 1: only {' and '.join(SHARED_STEPS)} run on several nodes")
        return self

    def pod(self, step: str) -> PodConfig:
        """Return what the pods of ``step`` get."""
        given = next((pod for name, pod in self.steps.items() if name == step), PodConfig())
        return self.defaults.model_copy(update={key: getattr(given, key) for key in given.model_fields_set})
