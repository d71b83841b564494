"""Which arithmetic trains faster here: measured on the network itself."""

import copy
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import nn

from fettle.errors import SpecError
from fettle.hardware import passport
from fettle.models.layout import memory_format

LIGHTNING_NAMES: Mapping[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "float32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}
GAIN = 1.1  # bf16 must be this much faster: a draw goes to float32, whatever the noise of the clock
PROBE_IMAGES = 16


def choose_precision(wanted: str, model: nn.Module, device: torch.device, *, image_size: int) -> str:
    """Return ``float32``, ``bf16`` or ``fp16``.

    bf16 autocast doubles the speed of ResNets on CPUs with AMX or AVX512-BF16 and slows EfficientNets at small
    sizes (their depthwise convolutions have no bf16 kernel): neither the CPU nor the family tells, a few steps do.

    Args:
        wanted: ``train.precision``.
        model: Network; a copy is timed.
        device: Where training will run.
        image_size: Height and width in pixels.

    Raises:
        SpecError: If fp16 is asked for without a GPU.
    """
    if wanted == "fp16" and device.type == "cpu":
        raise SpecError("`train.precision: fp16` needs a GPU: use auto, bf16 or float32.")
    if wanted != "auto":
        return wanted
    if not _has_bf16(device):
        return "float32"
    plain, half = _time_steps(model, image_size, device)
    return "bf16" if plain > GAIN * half else "float32"


def _has_bf16(device: torch.device) -> bool:
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else passport().native_bf16


def _time_steps(model: nn.Module, image_size: int, device: torch.device, *, rounds: int = 5) -> tuple[float, float]:
    """Return the seconds of the fastest training step in float32 and under bf16 autocast, interleaved."""
    layout = memory_format(model)
    model = copy.deepcopy(model).to(device).to(memory_format=layout).train()
    images = torch.zeros(PROBE_IMAGES, 3, image_size, image_size, device=device)
    images = images.to(memory_format=layout)
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for enabled in (False, True):
            start = time.perf_counter()
            _step(model, images, torch.autocast(device.type, torch.bfloat16, enabled=enabled))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times[enabled].append(time.perf_counter() - start)
    return min(times[False]), min(times[True])


def _step(model: nn.Module, images: torch.Tensor, autocast: AbstractContextManager[object]) -> None:
    with autocast:
        loss = model(images).float().square().mean()
    loss.backward()
    model.zero_grad()
