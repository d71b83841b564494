"""The file that Triton loads as ``<backends>/onnxruntime/model.py`` and ``<backends>/openvino/model.py``.

The Triton of the ``nvidia-pytriton`` wheel has the python backend alone. This lets it serve, file for file, the
repository that a production image serves with its native backends. It runs in the server's own environment
(numpy below 2 and the runtimes), in a process of its own for each instance.

https://github.com/triton-inference-server/backend/blob/main/docs/python_based_backends.md
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb

from fettle.errors import FettleError
from fettle.runtimes import open_engine

# Parameters that say nothing about the engine: Fettle's own, and one of the native backend's batching.
OTHERS = ("fettle.", "ENABLE_BATCH_PADDING")
IMAGE = "image"


class TritonPythonModel:
    """One instance of one version."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the version's file with the runtime and the parameters that ``config.pbtxt`` names."""
        config = json.loads(args["model_config"])
        file = Path(args["model_repository"]) / args["model_version"] / config["default_model_filename"]
        options = {name: value["string_value"] for name, value in config["parameters"].items()}
        options = {name: value for name, value in options.items() if not name.startswith(OTHERS)}
        self._outputs = [output["name"] for output in config["output"]]
        self._inputs = [each["name"] for each in config["input"]]
        is_vote = self._inputs != [IMAGE]
        try:
            self._model = (
                _open_vote(file, options) if is_vote else open_engine(config["backend"], file, options=options)
            )
        except FettleError as error:
            raise pb.TritonModelException(str(error)) from None
        dtype = np.float32 if is_vote else np.uint8
        self._batches = [np.empty((config["max_batch_size"], *each["dims"]), dtype) for each in config["input"]]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer all requests of a dynamic batch by one call of the engine."""
        given = [
            [pb.get_input_tensor_by_name(request, name).as_numpy() for request in requests] for name in self._inputs
        ]
        try:
            outputs = self._model(*(_join(arrays, room) for arrays, room in zip(given, self._batches, strict=True)))
        except Exception as error:  # an answer to these requests; the next ones find the model alive
            return [pb.InferenceResponse(error=pb.TritonError(str(error))) for _ in requests]
        ends = np.cumsum([len(each) for each in given[0]])
        return [self._response(outputs, end - len(each), end) for each, end in zip(given[0], ends, strict=True)]

    def finalize(self) -> None:
        self._model.close()

    def _response(self, outputs: Sequence[np.ndarray], start: int, end: int) -> Any:
        pairs = zip(self._outputs, outputs, strict=True)
        return pb.InferenceResponse([pb.Tensor(name, output[start:end]) for name, output in pairs])


def _open_vote(file: Path, options: Mapping[str, str]) -> Any:
    """Open the graph of an ensemble's vote, which takes the members' probabilities in their order."""
    from fettle.runtimes.vote import Vote  # onnxruntime, which other backends do not need

    return Vote(file, options=options)


def _join(arrays: Sequence[np.ndarray], room: np.ndarray) -> np.ndarray:
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays, out=room[: sum(map(len, arrays))])
