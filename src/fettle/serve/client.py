"""A thin client of any KServe v2 server: pictures in, labelled probabilities out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Self

import numpy as np
import tritonclient.grpc
import tritonclient.http
from geventhttpclient.response import HTTPParseError
from tritonclient.utils import InferenceServerException

from fettle.data.decode import UnreadableImageError, decode
from fettle.data.resize import resize
from fettle.errors import DataError, ServeError
from fettle.publish.config import RESIZE

Protocol = Literal["http", "grpc"]
UNREACHABLE = (OSError, HTTPParseError)
MODULES: dict[str, ModuleType] = {"http": tritonclient.http, "grpc": tritonclient.grpc}


@dataclass(frozen=True)
class Answer:
    """What came back for one batch: probabilities (N, C) float32, and the version that answered."""

    probabilities: np.ndarray
    version: str


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image; ``probabilities`` by label."""

    label: str
    probability: float
    probabilities: dict[str, float]
    model: str
    version: str


class Client:
    """A connection to one model; use one in each thread.

    Args:
        endpoint: ``host:port`` of the protocol's service.
        model: Name in the repository.
        protocol: ``http`` or ``grpc``.
        timeout: Seconds a request may take.
    """

    def __init__(self, endpoint: str, model: str, *, protocol: Protocol = "http", timeout: float = 60.0) -> None:
        if protocol not in MODULES:
            raise ServeError(f"`protocol` must be http or grpc, got {protocol!r}.")
        endpoint = endpoint.removeprefix("http://").rstrip("/")
        if not re.fullmatch(r"[^\s/]+:\d+", endpoint):
            raise ServeError(f"`endpoint` must look like localhost:8000, got {endpoint!r}.")
        self.endpoint, self.model, self.protocol, self.timeout = endpoint, model, protocol, timeout
        self._module = MODULES[protocol]
        limits = {"connection_timeout": timeout, "network_timeout": timeout} if protocol == "http" else {}
        self.raw = self._module.InferenceServerClient(endpoint, **limits)
        self._labels: dict[str, tuple[str, ...]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.raw.close()

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's configuration, as JSON."""
        if self.protocol == "http":
            return dict(self._ask("get_model_config", self.model))
        return dict(self._ask("get_model_config", self.model, as_json=True)["config"])

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(S, S, 3), the shape of one image."""
        return tuple(int(size) for size in self.config["input"][0]["dims"])

    @property
    def max_batch(self) -> int:
        return int(self.config["max_batch_size"])

    def infer(self, images: np.ndarray, *, version: str = "") -> Answer:
        """Ask the model once.

        Args:
            images: (N, S, S, 3) uint8 RGB, N at most the model's largest batch.
            version: A certain version; by default the live one.

        Raises:
            ServeError: If the server cannot be reached, or refuses.
        """
        output, version = self._infer(images, version=version)
        return Answer(output, version)

    def predict(self, images: np.ndarray) -> tuple[Prediction, ...]:
        """Return a prediction for each image (N, S, S, 3) uint8; larger N go in several batches."""
        starts = range(0, len(images), self.max_batch)
        answers = [self._labelled(images[start : start + self.max_batch]) for start in starts]
        return tuple(self._prediction(row, answer.version) for answer in answers for row in answer.probabilities)

    def predict_files(self, paths: Sequence[Path]) -> tuple[Prediction, ...]:
        """Open pictures of any size, resize them as the model was trained, and predict.

        Raises:
            DataError: If one cannot be read as a picture.
        """
        mode = self.config.get("parameters", {}).get(RESIZE, {}).get("string_value", "squash")
        size = self.image_shape[0]
        return self.predict(np.stack([resize(_pixels(path), size, mode) for path in paths]))

    def _labelled(self, images: np.ndarray) -> Answer:
        """Return the answer of a version whose class names are known; a version may be replaced while we ask."""
        answer = self.infer(images)
        while answer.version not in self._labels:
            if self._learn_labels() != answer.version:
                answer = self.infer(images)
        return answer

    def _learn_labels(self) -> str:
        """Ask for the class names, by Triton's classification extension, and return the version that told them."""
        blank = np.zeros((1, *self.image_shape), np.uint8)
        classes = int(self.config["output"][0]["dims"][0])
        rows, version = self._infer(blank, class_count=classes)
        fields = [row.decode().split(":", 2) for row in rows.reshape(-1)]
        names = {int(index): (name[0] if name else index) for _, index, *name in fields}
        self._labels[version] = tuple(names[index] for index in range(classes))
        return version

    def _infer(self, images: np.ndarray, *, version: str = "", class_count: int = 0) -> tuple[np.ndarray, str]:
        tensor = self._module.InferInput("image", list(images.shape), "UINT8")
        try:
            tensor.set_data_from_numpy(np.ascontiguousarray(images))
        except InferenceServerException as error:
            raise ServeError(f"`images` must be uint8, got {images.dtype} ({error.message()}).") from None
        output = self._module.InferRequestedOutput("probabilities", class_count=class_count)
        result = self._ask("infer", self.model, [tensor], model_version=version, outputs=[output])
        response = result.get_response()
        found = response["model_version"] if self.protocol == "http" else response.model_version
        return result.as_numpy("probabilities"), str(found)

    def _prediction(self, row: np.ndarray, version: str) -> Prediction:
        probabilities = dict(zip(self._labels[version], map(float, row), strict=True))
        label = max(probabilities, key=probabilities.__getitem__)
        return Prediction(label, probabilities[label], probabilities, self.model, version)

    def _ask(self, method: str, *args: Any, **options: Any) -> Any:
        if self.protocol == "grpc":
            options["client_timeout"] = self.timeout
        try:
            return getattr(self.raw, method)(*args, **options)
        except InferenceServerException as error:
            raise ServeError(f"{self.model} at {self.endpoint}: {error.message()}.") from None
        except UNREACHABLE as error:
            raise ServeError(
                f"No Triton answers at {self.endpoint} ({error}): start one with `fettle serve`, "
                "or correct the endpoint."
            ) from None


def _pixels(path: Path) -> np.ndarray:
    try:
        return decode(path).pixels
    except UnreadableImageError as error:
        raise DataError(f"{path} {error}.") from None
