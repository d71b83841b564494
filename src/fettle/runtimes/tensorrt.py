"""TensorRT on the GPU, with buffers held by torch.

https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/python-api-docs.html

A plan fits one GPU model and one TensorRT version. The manifest beside it (``export.json``) holds
the passport of the device that built it, and the engine refuses any other device.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorrt as trt
import torch

from fettle.errors import ArtifactError, HardwareError, ServeError
from fettle.runtimes.checks import answers, check_images, check_option_names, check_signature
from fettle.runtimes.engine import Engine

MANIFEST = "export.json"


class TensorRTEngine(Engine):
    """A plan in an execution context on the first CUDA device."""

    def __init__(self, file: Path, *, threads: int | None = None, options: Mapping[str, str]) -> None:
        del threads  # the CPU's
        check_option_names("tensorrt", options, ())
        check_passport(file, device_passport())
        engine = trt.Runtime(trt.Logger(trt.Logger.ERROR)).deserialize_cuda_engine(file.read_bytes())
        if engine is None:
            raise ArtifactError(f"{file} cannot be loaded by TensorRT {trt.__version__}: build it again.")
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(inputs[0]))).name
        shape = tuple(None if size < 0 else size for size in engine.get_tensor_shape(inputs[0]))
        self.image_shape = check_signature(file, inputs, dtype, shape)
        self.precision = "as exported"
        self._input = inputs[0]
        self._outputs = [name for name in names if name not in inputs]
        self._engine = engine
        self._context = engine.create_execution_context()
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        check_images(images, self.image_shape)
        if self._context is None:
            raise ServeError("This TensorRT engine is closed: open it again.")
        if not self._context.set_input_shape(self._input, images.shape):
            raise ServeError(f"A batch of {len(images)} is larger than the engine was built for: send smaller batches.")
        with torch.cuda.stream(self._stream):
            batch = torch.from_numpy(np.require(images, requirements=["C", "W"])).cuda(non_blocking=True)
            outputs = [self._buffer(name) for name in self._outputs]
            for name, tensor in zip([self._input, *self._outputs], [batch, *outputs], strict=True):
                self._context.set_tensor_address(name, tensor.data_ptr())
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise ServeError(f"TensorRT failed on a batch of {len(images)}.")
            return answers((output.cpu().numpy() for output in outputs), len(images))

    def close(self) -> None:
        self._context = None
        self._engine = None

    def _buffer(self, name: str) -> torch.Tensor:
        dtype = torch.from_numpy(np.empty(0, trt.nptype(self._engine.get_tensor_dtype(name)))).dtype
        return torch.empty(tuple(self._context.get_tensor_shape(name)), dtype=dtype, device="cuda")


def device_passport() -> dict[str, str]:
    """Return what a plan depends on: GPU, compute capability and TensorRT version.

    Raises:
        HardwareError: If there is no CUDA device.
    """
    if not torch.cuda.is_available():
        raise HardwareError("TensorRT needs an NVIDIA GPU, and CUDA sees none here: run this step on a GPU machine.")
    major, minor = torch.cuda.get_device_capability()
    return {
        "gpu": torch.cuda.get_device_name(),
        "compute_capability": f"{major}.{minor}",
        "tensorrt": trt.__version__,
    }


def check_passport(file: Path, here: Mapping[str, str]) -> None:
    """Refuse a plan that was built elsewhere.

    Raises:
        ArtifactError: If no manifest lies beside the plan, or it has no passport.
        HardwareError: If the passport differs from ``here``.
    """
    try:
        built = json.loads(file.with_name(MANIFEST).read_text())["passport"]
    except (OSError, ValueError, KeyError):
        built = None
    if not built:
        raise ArtifactError(f"{file} has no passport in {MANIFEST} beside it: build it again with `fettle optimize`.")
    for name, value in here.items():
        if built.get(name) != value:
            raise HardwareError(f"{file} was built for {name} {built.get(name)}, here it is {value}: build it here.")
