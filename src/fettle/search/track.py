"""Where networks are exported, brought into a form, scored, and timed beside one another."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from torch import nn

from fettle.data import Subset
from fettle.evaluate.contestants import EngineContestant, open_contestant
from fettle.evaluate.intervals import Interval, median_ratio
from fettle.evaluate.latency import interleave
from fettle.evaluate.score import Scored, score_and_loss
from fettle.export import Export
from fettle.export.onnx import describe, export_onnx
from fettle.export.traces import Traces
from fettle.hardware import passport
from fettle.models.architecture import Architecture
from fettle.optimize.quantization import convert
from fettle.search.forms import Form
from fettle.spec import QuantizeConfig

CALIBRATION = 32  # images: ranges do not matter for speed
ROUNDS = 15
CALLS = 40


class Track(contextlib.ExitStack):
    """A folder for exports that serve for timing alone, and the images that they are asked about.

    Args:
        images: (N, S, S, 3) uint8, to calibrate with and to ask about.
    """

    def __init__(self, images: np.ndarray) -> None:
        super().__init__()
        self.images, self.traces = images[:CALIBRATION], Traces()
        self.folder = Path(self.enter_context(tempfile.TemporaryDirectory(prefix="fettle-")))
        np.save(self.folder / "images.npy", self.images)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Let go of what is exported meanwhile: a search exports many networks, and its track stays until the end."""
        before = set(self.folder.iterdir())
        try:
            yield
        finally:
            for each in set(self.folder.iterdir()) - before:
                shutil.rmtree(each, ignore_errors=True)

    def export(self, model: nn.Module, architecture: Architecture) -> Export:
        """Return the network as a float ONNX file."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        exported = describe(folder, architecture, recipe="track", resize="squash")
        export_onnx(model, architecture, exported.file, traces=self.traces)
        return exported

    def convert(self, exported: Export, form: Form) -> Export:
        """Return a float export in another form."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        config = QuantizeConfig(precision=form.precision)
        return convert(exported, folder, self.images, config=config, runtime=form.runtime)

    def score(self, model: nn.Module, architecture: Architecture, subset: Subset, runtime: str) -> Scored:
        """Return how good a network is in float, as an export in ``runtime``."""
        with self.aside():
            plain = self.convert(self.export(model, architecture), Form(runtime, "float32"))
            return score_and_loss(plain, subset, runtime)

    def start(self, name: str, export: Export, runtime: str) -> contextlib.AbstractContextManager[EngineContestant]:
        """Have an export ready in a process of its own."""
        return open_contestant(
            name,
            runtime=runtime,
            file=export.file,
            images=self.folder / "images.npy",
            threads=passport().cores,
            options=export.runtime_options(runtime),
        )


def steady(contestant: EngineContestant) -> float:
    """Return the median seconds of a call among many that follow one another."""
    contestant.run(1, CALLS // 4)
    return float(np.median(contestant.run(1, CALLS)))


def race(before: EngineContestant, after: EngineContestant) -> Interval:
    """Return how many times as fast ``after`` is, round by round at batch 1."""
    return race_all(before, {"after": after})["after"]


def race_all(before: EngineContestant, after: Mapping[str, EngineContestant]) -> dict[str, Interval]:
    """Return how many times as fast each of ``after`` is, all of them interleaved."""
    samples = interleave({"": before, **after}, batches=(1,), rounds=ROUNDS)
    turns = {name: np.array([np.median(turn) for turn in samples[name][1]]) for name in samples}
    return {name: median_ratio(turns[""], turns[name]) for name in after}
