"""What ``fettle doctor`` looks at."""

import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from fettle.hardware import memory_bandwidth, passport, versions


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``needed`` ones make ``fettle doctor`` fail when they are missing."""

    what: str
    ok: bool
    detail: str
    needed: bool = False


def checkup() -> list[Finding]:
    """Look at the machine, the packages, Triton and what optional parts need."""
    return [check() for check in (_cpu, _memory, _gpu, _space, _packages, _pipelines, _triton, _store, _trackers)]


def _cpu() -> Finding:
    machine = passport()
    advice = "bf16 training and int8 inference pay" if machine.native_bf16 else "no native bf16: float32 training"
    limit = f", oneDNN up to {machine.limit}" if machine.limit else ""
    return Finding("cpu", True, f"{machine.cpu}, {machine.cores} cores, {' '.join(machine.flags)}{limit} ({advice})")


def _memory() -> Finding:
    total = psutil.virtual_memory().total / 1e9
    return Finding("memory", True, f"{total:.0f} GB, copied at {memory_bandwidth():.0f} GB/s by one core")


def _gpu() -> Finding:
    gpu = passport().gpu
    return Finding("gpu", gpu is not None, gpu or "none; TensorRT recipes are left out of local runs")


def _space() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return Finding("disk", free > 2, f"{free:.0f} GB free here; a run needs about 2 GB", needed=True)


def _packages() -> Finding:
    found = versions()
    wanted = ("torch", "onnxruntime", "openvino", "nncf")
    missing = [name for name in wanted if name not in found]
    detail = ", ".join(f"{name} {found[name]}" for name in wanted if name in found)
    return Finding(
        "packages", not missing, detail + (f"; missing {', '.join(missing)}" if missing else ""), needed=True
    )


def _pipelines() -> Finding:
    version = versions().get("kfp")
    return Finding("kubeflow", version is not None, version or "not installed: pip install 'fettle[pipelines]'")


def _triton() -> Finding:
    from fettle.errors import ServeError
    from fettle.serve.environment import find_triton

    try:
        return Finding("triton", True, str(find_triton().binary))
    except ServeError as error:
        return Finding("triton", False, str(error))


def _store() -> Finding:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return Finding("s3", True, endpoint or "AWS_ENDPOINT_URL_S3 is not set; folders are used unless a URL is s3://")


def _trackers() -> Finding:
    found = [name for name in ("wandb", "mlflow") if importlib.util.find_spec(name)]
    return Finding("trackers", True, ", ".join(["tensorboard", *found]))
