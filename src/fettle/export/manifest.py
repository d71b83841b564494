"""The manifest of an export, ``export.json``: what the file is, what runs it, what goes in and comes out."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from fettle.card import Artifact
from fettle.errors import ArtifactError

MANIFEST = "export.json"
NO_MODEL = frozenset({MANIFEST, "card.json"})  # beside the files that a runtime needs
Format = Literal["onnx", "openvino", "tensorrt", "ensemble"]
# Format -> the file that a runtime opens; Triton's backends expect exactly these names.
FILES: Mapping[str, str] = {"onnx": "model.onnx", "openvino": "model.xml", "tensorrt": "model.plan",
                            "ensemble": "ensemble.json"}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A named input or output; ``shape`` is that of one example, without the batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        return cls(raw["name"], raw["dtype"], tuple(raw["shape"]))


@dataclass(frozen=True)
class Export:
    """A model that a runtime can load.

    Attributes:
        path: The artifact's directory.
        task: What the model does.
        classes: Names by index.
        recipe: The optimization steps that led here, such as ``baseline`` or ``pruned-int8``.
        format: What kind of file it is.
        precision: ``float32``, ``fp16``, ``bf16`` or ``int8``.
        runtimes: Runtimes that can load it.
        options: Parameters that it needs in each, literally those of Triton's backend.
        input: The images, ``image`` uint8 (S, S, 3).
        outputs: For ``classify``: ``probabilities`` float32 (C,); for ``detect``, K being ``max_detections``:
            ``boxes`` float32 (K, 4), ``scores`` float32 (K,), ``labels`` int32 (K,), ``count`` int32 (1,); for
            ``embed``: ``embedding`` float32 (D,), of length 1. An ensemble of M gives ``votes`` float32 (M, C) too.
        resize: How a photograph becomes square: ``squash``, ``crop`` or ``pad``.
        passport: For TensorRT, the device and version that the plan was built for, and how.
        thresholds: What :func:`fettle.export.set_thresholds` can change, by name: constants of a detector's graph, or
            what a client goes by.
    """

    path: Path
    task: str
    classes: tuple[str, ...]
    recipe: str
    format: Format
    precision: str
    runtimes: tuple[str, ...]
    input: Tensor
    outputs: tuple[Tensor, ...]
    resize: str = "squash"
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    passport: Mapping[str, str] | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The file that a runtime opens (weights of an IR lie beside it)."""
        return self.path / FILES[self.format]

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that a runtime needs."""
        if self.format == "openvino":
            return self.file, self.file.with_suffix(".bin")
        if self.format == "ensemble":
            return tuple(sorted(file for file in self.path.rglob("*") if file.is_file() and file.name not in NO_MODEL))
        return (self.file,)

    @property
    def image_size(self) -> int:
        return self.input.shape[0]

    def runtime_options(self, runtime: str) -> Mapping[str, str]:
        """Return the Triton backend parameters that this model needs in ``runtime``."""
        return self.options.get(runtime, {})

    def save(self) -> None:
        """Write ``export.json`` into :attr:`path`."""
        raw = {name: value for name, value in dataclasses.asdict(self).items() if name != "path"}
        (self.path / MANIFEST).write_text(json.dumps(raw, indent=1, sort_keys=True) + "\n")


def open_export(path: Path) -> Export:
    """Verify the artifact at ``path`` and read its manifest.

    Raises:
        ArtifactError: If it is no export, incomplete or altered.
    """
    Artifact.open(path, kind="export")
    return read_manifest(path)


def read_manifest(path: Path) -> Export:
    """Read ``path/export.json`` alone.

    Raises:
        ArtifactError: If it is missing or unreadable.
    """
    file = path / MANIFEST
    try:
        raw = json.loads(file.read_text())
        return Export(
            **{
                **raw,
                "path": path,
                "classes": tuple(raw["classes"]),
                "runtimes": tuple(raw["runtimes"]),
                "input": Tensor.from_json(raw["input"]),
                "outputs": tuple(Tensor.from_json(output) for output in raw["outputs"]),
            }
        )
    except FileNotFoundError:
        raise ArtifactError(f"{path} is not an exported model: it has no {MANIFEST}.") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArtifactError(f"{file} cannot be read ({error!r}): export the model again.") from None
