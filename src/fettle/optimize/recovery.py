"""Accuracy-aware quantization: as many layers in INT8 as a drop of the score allows."""

import logging
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from fettle.errors import OptimizeError
from fettle.export.manifest import Export
from fettle.optimize.quantization import RuinedError, quantize
from fettle.optimize.sensitivity import rank_layers
from fettle.spec import QuantizeConfig

Score = Callable[[Export], float]
# What is tried before a layer goes back to float, for it costs no speed: ranges without outliers, corrections.
WAYS: Mapping[str, tuple[Mapping[str, Any], ...]] = MappingProxyType(
    {
        "onnxruntime": ({"calibration": "percentile"}, {"calibration": "entropy"}),
        "openvino": ({"bias_correction": "accurate"}, {"calibration": "entropy"}, {"smooth_quant": 0.5}),
    }
)

log = logging.getLogger("fettle")


@dataclass(frozen=True)
class Recovery:
    """What was made, and at which price.

    Attributes:
        export: The quantized model.
        way: What differs from the settings that were given, as keys of ``quantize``.
        kept: Layers that stayed in float, the most sensitive first.
        before: Score of the float model.
        lowest: Score with every layer quantized as it was asked; 0 where that ruined the model.
        after: Score of ``export``.
    """

    export: Export
    way: Mapping[str, Any]
    kept: tuple[str, ...]
    before: float
    lowest: float
    after: float


@dataclass(frozen=True)
class Attempt:
    """One quantization; ``export`` is ``None`` where it ruined the model."""

    way: Mapping[str, Any]
    export: Export | None
    score: float

    def holds(self, floor: float) -> bool:
        """Return whether it is good enough; ruined, it does not even hold a floor below 0."""
        return self.export is not None and self.score >= floor


def quantize_within(
    source: Export,
    folder: Path,
    images: np.ndarray,
    *,
    config: QuantizeConfig,
    runtime: str,
    score: Score,
    plain: Export | None = None,
    until: float = math.inf,
) -> Recovery:
    """Quantize ``source`` so that its score stays near that of the float model.

    First as it is asked; then in the other :data:`WAYS` of the runtime; then, in the best of them, with the most
    sensitive layers in float, ranked by :func:`fettle.optimize.sensitivity.rank_layers`. Half of the layers are tried
    first; if they hold the score, how many have to stay is found by doubling, then by bisection: about 2 log2(layers)
    quantizations at most.

    Args:
        source: Float ONNX export.
        folder: Where the model's files are written; the manifest is not.
        images: Calibration images, (N, S, S, 3) uint8.
        config: With ``max_drop``.
        runtime: Which runtime it is for.
        score: How good an export is in that runtime, more is better.
        plain: What ``config`` made of it, if that was done already.
        until: Of :func:`time.monotonic`, after which nothing else is tried.

    Raises:
        OptimizeError: If half of the layers in float do not bring the score back, and as :func:`quantize`.
    """
    before = score(source)
    floor = before - (config.max_drop or 0.0)

    def in_time() -> bool:
        return time.monotonic() < until

    def attempt(way: Mapping[str, Any], kept: Sequence[str] = ()) -> Attempt:
        patterns = [*config.keep_float, *map(_exactly, kept)]
        changed = config.model_copy(update={**way, "keep_float": patterns})
        try:
            export = quantize(source, folder, images, config=changed, runtime=runtime)
            made = Attempt(way, export, score(export))
        except RuinedError:
            made = Attempt(way, None, 0.0)
        log.info("%s %s: %d layers in float: score %.4f, of %.4f", runtime, _told(way), len(kept), made.score, before)
        return made

    first = attempt({}) if plain is None else Attempt({}, plain, score(plain))
    best = first
    for way in _other_ways(config, runtime):
        if best.holds(floor) or not in_time():
            break
        best = max(best, attempt(way), key=lambda each: (each.export is not None, each.score))
    if best.holds(floor):
        assert best.export
        return Recovery(best.export, best.way, (), before, first.score, best.score)
    missed = (
        f"`quantize.max_drop` {config.max_drop:g} cannot be held for {runtime}: the score falls from {before:.4f} to "
        f"{best.score:.4f}"
    )
    if not in_time():
        raise OptimizeError(f"{missed}, and the time is over.")
    ranked = tuple(rank_layers(source.file, images))
    most = len(ranked) // 2
    count = _fewest(most, lambda count: in_time() and attempt(best.way, ranked[:count]).holds(floor))
    if count is None:
        raise OptimizeError(
            f"{missed}, and still by more with {most} of {len(ranked)} layers in float. Allow more, take bf16 or fp16, "
            "or train with `finetune.qat`."
        )
    last = attempt(best.way, ranked[:count])
    assert last.export is not None
    return Recovery(last.export, last.way, ranked[:count], before, first.score, last.score)


def _other_ways(config: QuantizeConfig, runtime: str) -> Iterator[Mapping[str, Any]]:
    return (way for way in WAYS[runtime] if config.model_copy(update=dict(way)) != config)


def _told(way: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in way.items()) or "as asked"


def _fewest(most: int, passes: Callable[[int], bool]) -> int | None:
    """Return the smallest count in 1..most that passes, as far as more never passes less; ``None`` if none does.

    The most is asked first: where that is too little, as it often is, it is the only one asked.
    """
    if most < 1 or not passes(most):
        return None
    low, high = 0, 1
    while high < most and not passes(high):
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high


def _exactly(layer: str) -> str:
    # OpenVINO parts a convolution from its bias, and names the bias after it.
    return rf"^{re.escape(layer)}(/WithoutBiases)?$"
