"""The passport of a machine: what a measurement or an engine was made on."""

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "fettle", "numpy", "torch", "torchvision", "lightning", "timm", "torch-pruning",
    "onnx", "onnxruntime", "openvino", "nncf", "tensorrt", "kfp",
)  # fmt: skip
INTERESTING_FLAGS = (
    "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8",
    "asimd", "asimddp", "bf16", "i8mm",
)  # fmt: skip

# What oneDNN's limits leave of these (https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html).
AVX512 = ("avx2", "avx512f")
LIMITS: Mapping[str, tuple[str, ...]] = {
    "SSE41": (), "AVX": (), "AVX2": ("avx2",), "AVX2_VNNI": ("avx2", "avx_vnni"), "AVX512_CORE": AVX512,
    "AVX512_CORE_VNNI": (*AVX512, "avx512_vnni"), "AVX512_CORE_BF16": (*AVX512, "avx512_vnni", "avx512_bf16"),
}  # fmt: skip
COPIED = 1 << 28  # bytes: far beyond any cache


@dataclass(frozen=True)
class Passport:
    """What decides how fast a model runs.

    Attributes:
        cpu: Model name as the kernel tells it.
        cores: Cores that this process may use (affinity and cgroup respected by the kernel's mask).
        flags: The vector and matrix extensions that matter for inference.
        gpu: Name of the first CUDA device and its compute capability, or ``None``.
        limit: Largest instruction set that oneDNN may use (``ONEDNN_MAX_CPU_ISA``), where one is set: pinned so, the
            machine is another one. The flags are those that are left; ONNX Runtime's own kernels know no such limit.
    """

    cpu: str
    cores: int
    flags: tuple[str, ...]
    gpu: str | None = None
    limit: str | None = field(default=None, repr=False)

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that differ where measurements must not be shared."""
        limit = f" up to {self.limit}" if self.limit else ""
        return hashlib.sha256(f"{self!r}{limit}".encode()).hexdigest()[:12]

    @property
    def native_bf16(self) -> bool:
        return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(self.flags))

    @property
    def int8_overflows(self) -> bool:
        """Whether products of 8 bits are added in pairs in 16 bits, where large ones overflow: x86 without VNNI.

        https://oneapi-src.github.io/oneDNN/dev_guide_int8_computations.html
        """
        flags = set(self.flags)
        return "avx2" in flags and not {"avx512_vnni", "avx_vnni", "amx_int8"} & flags

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "fingerprint": self.fingerprint}


@cache
def passport() -> Passport:
    """Return the passport of this machine."""
    cpu, flags = platform.processor() or platform.machine(), set[str]()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                cpu = value.strip()
            if key.strip() in ("flags", "Features"):
                flags.update(value.split())
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() or None
    allowed = LIMITS.get(limit or "", flags)
    return Passport(
        cpu=cpu,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        flags=tuple(flag for flag in INTERESTING_FLAGS if flag in flags & set(allowed)),
        gpu=_gpu(),
        limit=limit,
    )


def memory_bandwidth() -> float:
    """Measure how many gigabytes a second this machine copies, read and written, in one thread: the best of some."""
    import time

    import numpy as np

    source = np.ones(COPIED, np.uint8)
    target = np.empty_like(source)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - start)
    return 2 * COPIED / min(seconds) / 1e9


def _gpu() -> str | None:
    """Ask the driver, not torch: importing torch takes seconds."""
    names = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    for name in names:
        for line in name.read_text().splitlines():
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return None


@cache
def versions() -> dict[str, str]:
    """Return the versions of the packages that shape a result, those installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
