"""ONNX to a TensorRT engine, built on the GPU that will serve it.

https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/python-api-docs.html

The network is strongly typed: its precision is what the ONNX graph says (float16 casts, Q/DQ), as
TensorRT 11 has no other way. That is why precision is no argument here.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from fettle.errors import ArtifactError, HardwareError, OptimizeError
from fettle.export.manifest import Tensor
from fettle.hardware import passport


def check_device() -> dict[str, str]:
    """Return the passport of the device that engines would be built for: GPU, capability, TensorRT version.

    Raises:
        HardwareError: If there is no NVIDIA GPU, or TensorRT is not installed.
    """
    try:
        from fettle.runtimes.tensorrt import device_passport
    except ImportError as error:
        if passport().gpu is None:
            raise HardwareError("TensorRT needs an NVIDIA GPU, and this machine has none: build there.") from None
        raise HardwareError(f"TensorRT is not installed ({error}): pip install 'fettle[tensorrt]'.") from None
    return device_passport()


def build_engine(
    source: Path,
    file: Path,
    *,
    image: Tensor,
    max_batch: int,
    workspace_gb: float,
    timing_cache: Path | None = None,
) -> dict[str, str]:
    """Write the engine of an ONNX file as a plan for batches of 1 to ``max_batch``.

    Args:
        source: ONNX file, of the precision that is wanted.
        file: ``model.plan``.
        image: The graph's input.
        max_batch: Largest batch of the optimization profile, and the one that is optimized for.
        workspace_gb: GPU memory that the builder may use for one layer.
        timing_cache: Kernel timings of earlier builds; read where it is there, then written.

    Returns:
        The passport of this device, without which the plan is of no use, and how the plan was built.

    Raises:
        HardwareError: If this machine cannot build engines.
        OptimizeError: If TensorRT cannot take the graph, or finds no kernels for it.
    """
    device = check_device()
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    # On TensorRT 11 every network is strongly typed and the flag says nothing; on 10 it is needed.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(source)):
        faults = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise OptimizeError(f"TensorRT cannot take {source}: {faults}.")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(workspace_gb * 2**30))
    profile = builder.create_optimization_profile()
    profile.set_shape(image.name, (1, *image.shape), (max_batch, *image.shape), (max_batch, *image.shape))
    config.add_optimization_profile(profile)
    config.set_timing_cache(config.create_timing_cache(_read(timing_cache)), ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise OptimizeError(f"TensorRT found no engine for {source} within {workspace_gb:g} GB: give it more.")
    file.write_bytes(plan)
    if timing_cache is not None:
        _replace(timing_cache, bytes(config.get_timing_cache().serialize()))
    return {**device, "max_batch": str(max_batch), "workspace_gb": str(workspace_gb)}


def rebuild_engine(source: Path, file: Path, *, image: Tensor, passport: Mapping[str, str] | None) -> dict[str, str]:
    """Build an engine as it was built before, which ``passport`` tells, from another ONNX file.

    Raises:
        ArtifactError: If the passport does not tell how.
        HardwareError: If this machine cannot build engines.
        OptimizeError: If TensorRT cannot take the graph, or finds no kernels for it.
    """
    try:
        built = passport or {}
        max_batch, workspace_gb = int(built["max_batch"]), float(built["workspace_gb"])
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"The passport {passport} does not say {error}: build the engine again.") from None
    return build_engine(source, file, image=image, max_batch=max_batch, workspace_gb=workspace_gb)


def _read(file: Path | None) -> bytes:
    """Return the cache, or nothing: a missing or foreign one costs time only."""
    with contextlib.suppress(OSError):
        return file.read_bytes() if file else b""
    return b""


def _replace(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.write_bytes(content)
    partial.replace(file)
