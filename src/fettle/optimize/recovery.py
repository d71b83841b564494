"""Accuracy-aware quantization: as many layers in INT8 as a drop of the score allows."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fettle.errors import OptimizeError
from fettle.export.manifest import Export
from fettle.optimize.quantization import RuinedError, quantize
from fettle.optimize.sensitivity import rank_layers
from fettle.spec import QuantizeConfig

Score = Callable[[Export], float]

log = logging.getLogger("fettle")


@dataclass(frozen=True)
class Recovery:
    """What was made, and at which price.

    Attributes:
        export: The quantized model.
        kept: Layers that stayed in float, the most sensitive first.
        before: Score of the float model.
        lowest: Score with every layer quantized; 0 where that ruined the model.
        after: Score of ``export``.
    """

    export: Export
    kept: tuple[str, ...]
    before: float
    lowest: float
    after: float


def quantize_within(
    source: Export, folder: Path, images: np.ndarray, *, config: QuantizeConfig, runtime: str, score: Score
) -> Recovery:
    """Quantize ``source``, and leave the most sensitive layers in float until the score is near that of ``source``.

    Layers are ranked by :func:`fettle.optimize.sensitivity.rank_layers`. How many have to stay is found by doubling,
    then by bisection: about 2 log2(layers) quantizations at most.

    Args:
        source: Float ONNX export.
        folder: Where the model's files are written; the manifest is not.
        images: Calibration images, (N, S, S, 3) uint8.
        config: With ``max_drop``.
        runtime: Which runtime it is for.
        score: How good an export is in that runtime, more is better.

    Raises:
        OptimizeError: If half of the layers in float do not bring the score back, and as :func:`quantize`.
    """
    before = score(source)
    floor = before - (config.max_drop or 0.0)

    def attempt(kept: Sequence[str]) -> tuple[Export | None, float]:
        patterns = [*config.keep_float, *map(_exactly, kept)]
        exempt = config.model_copy(update={"keep_float": patterns})
        try:
            made = quantize(source, folder, images, config=exempt, runtime=runtime)
            reached = score(made)
        except RuinedError:
            made, reached = None, 0.0
        log.info("%s: %d layers in float: score %.4f, of %.4f", runtime, len(kept), reached, before)
        return made, reached

    made, lowest = attempt(())
    if made is not None and lowest >= floor:  # ruined, it may not even hold a floor below 0
        return Recovery(made, (), before, lowest, lowest)
    ranked = tuple(rank_layers(source.file, images))

    def holds(count: int) -> bool:
        made, reached = attempt(ranked[:count])
        return made is not None and reached >= floor

    count = _fewest(len(ranked) // 2, holds)
    if count is None:
        raise OptimizeError(
            f"`quantize.max_drop` {config.max_drop:g} cannot be held for {runtime}: the score falls from {before:.4f} "
            f"to {lowest:.4f}, and still by more with {len(ranked) // 2} of {len(ranked)} layers in float. Allow more, "
            "or take bf16 or fp16."
        )
    made, after = attempt(ranked[:count])
    assert made is not None
    return Recovery(made, ranked[:count], before, lowest, after)


def _fewest(most: int, passes: Callable[[int], bool]) -> int | None:
    """Return the smallest count in 1..most that passes, as far as more never passes less; ``None`` if none does."""
    low, high = 0, 1
    while high < most and not passes(high):
        low, high = high, min(2 * high, most)
    if high > most or (high == most and not passes(most)):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high


def _exactly(layer: str) -> str:
    # OpenVINO parts a convolution from its bias, and names the bias after it.
    return rf"^{re.escape(layer)}(/WithoutBiases)?$"
