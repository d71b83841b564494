"""``cluster``: what the steps get where the pipeline runs on Kubernetes (``fettle submit``)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from fettle.spec.base import Section

StepName = Literal[
    "ingest", "tune", "train", "prune", "finetune", "search", "pick", "export", "quantize", "tensorrt", "validate",
    "vote", "benchmark", "select", "promote", "confirm", "report",
]  # fmt: skip
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
    gpu: int = Field(0, ge=0)
    """Devices."""
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


class ClusterConfig(Section):
    """Pods of the steps on a cluster."""

    defaults: PodConfig = PodConfig()
    """Of every step."""
    steps: dict[StepName, PodConfig] = {}
    """Of single steps, such as ``{train: {gpu: 1, memory: 8Gi}}``; what is not said is as in ``defaults``."""

    share_pods: bool = True
    """Let a step that comes to nothing without an earlier one run in its pod, such as a validation in that of its
    export: a pod costs some 20 seconds. ``false`` gives each a pod of its own."""

    def pod(self, step: str) -> PodConfig:
        """Return what the pods of ``step`` get."""
        given = next((pod for name, pod in self.steps.items() if name == step), PodConfig())
        return self.defaults.model_copy(update={key: getattr(given, key) for key in given.model_fields_set})
