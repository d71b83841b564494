"""``config.pbtxt`` of a model from validated Python objects.

https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_configuration.md
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from fettle.card import digest_file
from fettle.errors import ArtifactError, SpecError
from fettle.export.manifest import Export, Tensor
from fettle.spec.serve import ServeConfig

LABELS = "labels.txt"
# Parameters of ours, which every backend ignores: what a client must know to send a photograph and to read the answer.
TASK, CLASSES, RESIZE = "fettle.task", "fettle.classes", "fettle.resize"
# Of an ensemble: its members in the order of their votes, ``{name: {model, version}}`` (JSON).
MEMBERS = "fettle.members"
# Of embeddings, which compare with those of the very same model alone.
SIMILARITY, MODEL = "fettle.similarity", "fettle.model"
# Outputs whose last axis runs over the classes: Triton's classification extension can name them from a label file.
BY_CLASS = ("probabilities",)
DTYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32", "float16": "TYPE_FP16", "int32": "TYPE_INT32"}
DTYPES |= {"int64": "TYPE_INT64"}
KINDS = {"cpu": "KIND_CPU", "gpu": "KIND_GPU"}
# What a native backend needs to serve a file as ours does: OpenVINO's compiles the network for the largest batch alone
# and refuses smaller ones unless it may pad them (https://github.com/triton-inference-server/openvino_backend).
NATIVE: Mapping[str, Mapping[str, str]] = {"openvino": {"ENABLE_BATCH_PADDING": "YES"}}
DEVICES = {"onnxruntime": ("cpu", "gpu"), "openvino": ("cpu",), "tensorrt": ("gpu",)}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """One version of a model as Triton serves it.

    Attributes:
        name: The model's name and its folder's.
        version: The one version that the policy lets Triton serve.
        backend: ``onnxruntime``, ``openvino`` or ``tensorrt``.
        file: The model's file inside the version's folder.
        inputs: Without the batch dimension.
        outputs: Without the batch dimension.
        max_batch: Largest batch that the dynamic batcher forms.
        preferred_batches: Sizes that it sends without waiting; empty: whatever has come together.
        queue_delay_us: How long a request may wait for others.
        instances: Execution instances a device.
        device: ``cpu`` or ``gpu``.
        warmup: Batch sizes that are run before the version is ready.
        response_cache: Answer repeated requests from the server's cache.
        parameters: Of the native backend, such as ``intra_op_thread_count``, and Fettle's own.

    Raises:
        SpecError: If a value is one that Triton would refuse.
    """

    name: str
    version: int
    backend: str
    file: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch: int = 16
    preferred_batches: tuple[int, ...] = ()
    queue_delay_us: int = 0
    instances: int = 1
    device: str = "cpu"
    warmup: tuple[int, ...] = (1,)
    response_cache: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        for name in ("version", "max_batch", "instances"):
            if getattr(self, name) < 1:
                raise SpecError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        if self.queue_delay_us < 0:
            raise SpecError(f"`queue_delay_us` must not be negative, got {self.queue_delay_us}.")
        if self.backend not in DEVICES:
            raise SpecError(f"`backend` must be one of {', '.join(DEVICES)}, got {self.backend!r}.")
        if self.device not in DEVICES[self.backend]:
            choices = " or ".join(DEVICES[self.backend])
            raise SpecError(f"`serve.device` must be {choices} for {self.backend}, got {self.device!r}.")
        for batch in (*self.preferred_batches, *self.warmup):
            if not 1 <= batch <= self.max_batch:
                raise SpecError(f"A batch of {batch} is not between 1 and `max_batch` = {self.max_batch}.")
        for tensor in (*self.inputs, *self.outputs):
            if tensor.dtype not in DTYPES or any(size < 1 for size in tensor.shape):
                raise SpecError(f"Triton cannot serve the tensor {tensor}.")

    def render(self) -> str:
        """Return the text of ``config.pbtxt``."""
        message = frame(self.name, self.version, self.inputs, self.outputs, self.max_batch, self.parameters)
        message.MergeFrom(
            pb.ModelConfig(
                backend=self.backend,
                default_model_filename=self.file,
                dynamic_batching=pb.ModelDynamicBatching(
                    preferred_batch_size=self.preferred_batches, max_queue_delay_microseconds=self.queue_delay_us
                ),
                instance_group=[pb.ModelInstanceGroup(count=self.instances, kind=KINDS[self.device])],
                model_warmup=[self._warmup(batch) for batch in self.warmup],
            )
        )
        if self.response_cache:
            message.response_cache.enable = True
        return str(text_format.MessageToString(message))

    def _warmup(self, batch: int) -> "pb.ModelWarmup":
        inputs = {
            tensor.name: pb.ModelWarmup.Input(data_type=DTYPES[tensor.dtype], dims=tensor.shape, zero_data=True)
            for tensor in self.inputs
        }
        return pb.ModelWarmup(name=f"batch-{batch}", batch_size=batch, inputs=inputs)


def frame(
    name: str,
    version: int,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    max_batch: int,
    parameters: Mapping[str, str],
) -> "pb.ModelConfig":
    """Return what the configurations of models and of ensembles share."""
    message = pb.ModelConfig(
        name=name,
        max_batch_size=max_batch,
        version_policy=_policy([version]),
        input=[_tensor(tensor) for tensor in inputs],
        output=[_tensor(tensor) for tensor in outputs],
    )
    for output in message.output:
        if output.name in BY_CLASS:  # a path below the model's folder: each version keeps its own labels
            output.label_filename = f"{version}/{LABELS}"
    for key, value in sorted(parameters.items()):
        message.parameters[key].string_value = value
    return message


def config_of(export: Export, runtime: str, *, name: str, version: int, serve: ServeConfig) -> ModelConfig:
    """Return the configuration that serves ``export`` in ``runtime``."""
    return ModelConfig(
        name=name,
        version=version,
        backend=runtime,
        file=export.file.name,
        inputs=(export.input,),
        outputs=export.outputs,
        max_batch=serve.max_batch,
        queue_delay_us=serve.queue_delay_us,
        instances=serve.instances,
        device=serve.device,
        warmup=tuple(sorted({1, serve.max_batch})),
        response_cache=serve.response_cache,
        parameters={**NATIVE.get(runtime, {}), **export.runtime_options(runtime), **client_parameters(export)},
    )


def client_parameters(export: Export) -> dict[str, str]:
    """Return what a client reads in the configuration: the task, the class names by index (JSON), the resize mode.

    Of embeddings also the similarity from which on two are of one identity, and a digest of the model's files.
    """
    told = {TASK: export.task, CLASSES: json.dumps(export.classes), RESIZE: export.resize}
    if "similarity" in export.thresholds:
        told |= {SIMILARITY: f"{export.thresholds['similarity']:.6f}", MODEL: files_digest(export)}
    return told


def files_digest(export: Export) -> str:
    """Return sixteen hex digits of the model's files."""
    digests = [digest_file(file) for file in export.files]
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


def label_file(export: Export) -> bytes | None:
    """Return the class names, a line each, where an output runs over the classes; ``None`` where none does."""
    if not any(output.name in BY_CLASS for output in export.outputs):
        return None
    return "".join(" ".join(label.splitlines()) + "\n" for label in export.classes).encode()


def served_version(text: str, *, source: str) -> int:
    """Return the version that answers by the policy in a ``config.pbtxt``: of several that it names, the highest.

    Raises:
        ArtifactError: If the text is none, or its policy names no version.
    """
    versions = served_versions(text, source=source)
    if not versions:
        raise ArtifactError(
            f"{source} names no version in its version policy: Fettle serves those that it names, write "
            "`version_policy { specific { versions: [N] } }`, or use another model name."
        )
    return max(versions)


def served_versions(text: str, *, source: str) -> tuple[int, ...]:
    """Return all versions that the policy in a ``config.pbtxt`` names.

    Raises:
        ArtifactError: If the text is none.
    """
    return tuple(sorted(parse(text, source=source).version_policy.specific.versions))


def with_versions(text: str, versions: Iterable[int], *, source: str) -> str:
    """Return a ``config.pbtxt`` with another policy."""
    message = parse(text, source=source)
    message.version_policy.CopyFrom(_policy(versions))
    return str(text_format.MessageToString(message))


def parse(text: str, *, source: str) -> "pb.ModelConfig":
    """Read a ``config.pbtxt``.

    Raises:
        ArtifactError: If the text is none.
    """
    try:
        return text_format.Parse(text, pb.ModelConfig())
    except text_format.ParseError as error:
        raise ArtifactError(f"{source} is not a Triton configuration: {error}.") from None


def check_name(name: str) -> str:
    """Return a model's name if it can be that of a folder, an object and a URL's part.

    Raises:
        SpecError: If it cannot.
    """
    if not NAME.fullmatch(name):
        raise SpecError(f"`model_name` must be letters, digits, '_', '.' and '-' without a leading dot, got {name!r}.")
    return name


def _policy(versions: Iterable[int]) -> "pb.ModelVersionPolicy":
    return pb.ModelVersionPolicy(specific=pb.ModelVersionPolicy.Specific(versions=sorted(versions)))


def _tensor(tensor: Tensor) -> dict[str, object]:
    return {"name": tensor.name, "data_type": DTYPES[tensor.dtype], "dims": tensor.shape}
