"""A thin client of any KServe v2 server: photographs in, what the model says of them out."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Self, TypeVar

import numpy as np
import tritonclient.grpc
import tritonclient.http
from geventhttpclient.response import HTTPParseError
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

from fettle.data.decode import UnreadableImageError, decode
from fettle.data.resize import Placement, resize
from fettle.errors import DataError, ServeError
from fettle.serve.description import Description
from fettle.serve.predictions import Prediction, Source, find_reader

Protocol = Literal["http", "grpc"]
UNREACHABLE = (OSError, HTTPParseError)
MODULES: dict[str, ModuleType] = {"http": tritonclient.http, "grpc": tritonclient.grpc}
MOST_CLASSES = 1_000_000  # Triton gives those that there are
PAUSE = 0.5  # seconds between two questions whether a model is there yet
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What came back for one batch: the outputs by name, each (N, ...), and the version that answered."""

    outputs: Mapping[str, np.ndarray]
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.raw.close()

    def wait(self, seconds: float) -> None:
        """Return once the model answers, as after a start of the server or the promotion of a first version.

        Raises:
            ServeError: If it does not within ``seconds``: what it said last.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.probe()
            except ServeError:
                if time.monotonic() + PAUSE > deadline:
                    raise
                time.sleep(PAUSE)
            else:
                return

    def describe(self) -> Description:
        """Return what a client must know of the live version.

        Raises:
            ServeError: If the server cannot be reached, or has no such model.
        """
        described = Description.read(self._config())
        if described.by_class and not described.classes:
            return replace(described, classes=self._ask_classes(described, described.by_class))
        return described

    def infer(self, images: np.ndarray, *, version: str = "") -> Answer:
        """Ask the model once.

        Args:
            images: (N, S, S, 3) uint8 RGB, N at most the model's largest batch.
            version: A certain version; by default the live one.

        Raises:
            ServeError: If the server cannot be reached, or refuses.
        """
        return self._infer(images, version=version)

    def probe(self) -> str:
        """Ask for the answer to blank inputs, whatever they are, and return the version that gave it.

        Raises:
            ServeError: If none does.
        """
        inputs = self._config()["input"]
        return self._ask_for({each["name"]: _blank(each) for each in inputs}, version="").version

    def predict(self, photos: Sequence[np.ndarray] | np.ndarray) -> tuple[Prediction, ...]:
        """Say what the model sees on photographs (H, W, 3) uint8 RGB, upright, of any and of mixed sizes.

        They are made square as the model was trained; many go in several batches. Boxes are in a photograph's pixels.

        Raises:
            ServeError: If a photograph is none, or the server cannot be reached or refuses.
        """
        return self._predict(photos, _checked)

    def predict_files(self, paths: Sequence[Path]) -> tuple[Prediction, ...]:
        """Open photographs, turn them upright, and predict.

        Raises:
            DataError: If one cannot be read as a picture.
            ServeError: If the server cannot be reached or refuses.
        """
        return self._predict(paths, _pixels)

    def _predict(self, items: Sequence[T] | np.ndarray, load: Callable[[T], np.ndarray]) -> tuple[Prediction, ...]:
        """Ask batch by batch; where the version was replaced meanwhile, look at the new one and ask that."""
        found: list[Prediction] = []
        served = self.describe()
        while len(found) < len(items):
            photos = [load(item) for item in items[len(found) : len(found) + served.max_batch]]
            try:
                found += self._predict_batch(photos, served)
            except ServeError:
                before, served = served, self.describe()
                if served == before:
                    raise
        return tuple(found)

    def _predict_batch(self, photos: Sequence[np.ndarray], served: Description) -> list[Prediction]:
        read, size = find_reader(served.task, self.model), served.image_shape[0]
        squares = np.stack([resize(photo, size, served.resize) for photo in photos])
        answer = self._infer(squares, version=served.version)
        source = Source(self.model, answer.version, served.classes, served.members)
        predictions = []
        for row, photo in enumerate(photos):
            height, width = photo.shape[:2]
            outputs = {name: values[row] for name, values in answer.outputs.items()}
            predictions.append(read(outputs, Placement.of(width, height, size, served.resize), source))
        return predictions

    def _ask_classes(self, served: Description, output: str) -> tuple[str, ...]:
        """Ask for the class names of a version whose parameters lack them, by Triton's classification extension."""
        blank = np.zeros((1, *served.image_shape), np.uint8)
        top = self._module.InferRequestedOutput(output, class_count=MOST_CLASSES)
        answer = self._infer(blank, version=served.version, outputs=[top])
        fields = [row.decode().split(":", 2) for row in answer.outputs[output].reshape(-1)]
        names = {int(index): (name[0] if name else index) for _, index, *name in fields}
        return tuple(names[index] for index in sorted(names))

    def _config(self) -> dict[str, Any]:
        if self.protocol == "grpc":
            return self._ask("get_model_config", self.model, as_json=True)["config"]  # type: ignore[no-any-return]
        return self._ask("get_model_config", self.model)  # type: ignore[no-any-return]

    def _infer(self, images: np.ndarray, *, version: str, outputs: Sequence[Any] | None = None) -> Answer:
        if images.dtype != np.uint8:
            raise ServeError(f"`images` must be uint8, got {images.dtype}.")
        return self._ask_for({"image": images}, version=version, outputs=outputs)

    def _ask_for(
        self, arrays: Mapping[str, np.ndarray], *, version: str, outputs: Sequence[Any] | None = None
    ) -> Answer:
        tensors = []
        for name, array in arrays.items():
            tensor = self._module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensors.append(tensor.set_data_from_numpy(np.ascontiguousarray(array)))
        result = self._ask("infer", self.model, tensors, model_version=version, outputs=outputs)
        response = result.get_response()
        if self.protocol == "grpc":
            names, found = [output.name for output in response.outputs], response.model_version
        else:
            names, found = [output["name"] for output in response["outputs"]], response["model_version"]
        return Answer({name: result.as_numpy(name) for name in names}, str(found))

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


def _blank(described: Mapping[str, Any]) -> np.ndarray:
    """Return zeros for an input of a model's configuration, a batch of one."""
    shape = (1, *(int(size) for size in described["dims"]))
    return np.zeros(shape, triton_to_np_dtype(str(described["data_type"]).removeprefix("TYPE_")))


def _pixels(path: Path) -> np.ndarray:
    try:
        return decode(path).pixels
    except UnreadableImageError as error:
        raise DataError(f"{path} {error}.") from None


def _checked(photo: np.ndarray) -> np.ndarray:
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise ServeError(f"A photograph must be uint8 of shape (H, W, 3), got {photo.dtype} {photo.shape}.")
    return photo
