"""The vote of an ensemble: a small ONNX graph over the members' answers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from fettle.errors import ArtifactError, ServeError
from fettle.runtimes.checks import reason
from fettle.runtimes.onnxruntime import session_options


class Vote:
    """An ONNX file whose inputs are the members' probabilities, each (N, C) float32.

    Raises:
        ArtifactError: If the file cannot be loaded.
    """

    def __init__(self, file: Path, *, options: Mapping[str, str]) -> None:
        try:
            # One thread: there is nothing to share.
            self._session = ort.InferenceSession(
                file, session_options(options, threads=1), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # each fault has an exception class of its own, without a common base
            raise ArtifactError(f"{file} cannot be loaded ({reason(error)}): combine the members again.") from None
        self.inputs = tuple(tensor.name for tensor in self._session.get_inputs())

    def __call__(self, *answers: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the graph's outputs, given the members' probabilities in the order of :attr:`inputs`."""
        try:
            return tuple(self._session.run(None, dict(zip(self.inputs, answers, strict=True))))
        except Exception as error:
            raise ServeError(f"The vote failed ({reason(error)}).") from None

    def close(self) -> None:
        """Give the memory back; the vote cannot be called any more."""
        del self._session
