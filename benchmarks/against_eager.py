"""How much faster the candidates of a run are than their network in eager PyTorch, interleaved, at batch 1.

    python benchmarks/against_eager.py                     # the newest run of the example, or of the one named
    python benchmarks/against_eager.py runs/neu-surface/latest

Eager PyTorch gets what a service would do: uint8 picture in, answers out, inference mode, all cores.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fettle.card import read_card
from fettle.evaluate import results
from fettle.evaluate.measures import headline
from fettle.evaluate.results import SELECTION, Benchmark, Candidate, Selection
from fettle.export.served import Served
from fettle.hardware import passport
from fettle.models import load_model
from fettle.spec import BenchmarkConfig
from fettle.steps.benchmark import benchmark


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/castings/latest"))
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    if not options.run.is_dir():
        parser.exit(0, f"{options.run} is not there: `make pipeline-run` makes it.\n")
    selection = results.load(options.run / "selection" / SELECTION, Selection)
    exports = [(row.name, _export(options.run, row), row.runtime) for row in selection.candidates]
    threads = passport().cores
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        made = benchmark(
            exports,
            next(options.run.glob("dataset-*")),
            Path(folder) / "benchmark",
            config=BenchmarkConfig(batches=[1], rounds=options.rounds, threads=threads),
            extra={"eager PyTorch": eager(options.run / "model-baseline")},
        )
        table(results.load(made.path / results.BENCHMARK, Benchmark), selection)


def eager(folder: Path) -> Callable[[np.ndarray], object]:
    """Return the trained network as a function of (N, S, S, 3) uint8."""
    served = Served(*load_model(folder)).eval()

    @torch.inference_mode()
    def predict(images: np.ndarray) -> object:
        return [answer.numpy() for answer in served(torch.from_numpy(images))]

    return predict


def table(measured: Benchmark, selection: Selection) -> None:
    slowest = measured.extra["eager PyTorch"].p50_ms
    accuracy = {row.name: f"{row.score:.2%}" for row in selection.candidates}
    print(f"{'':28} {'p50 ms':>8} {'p95 ms':>8} {'x eager':>8} {headline(selection.task)!s:>9}")
    for name, timing in {**measured.extra, **measured.candidates}.items():
        figures = f"{timing.p50_ms:8.2f} {timing.p95_ms:8.2f} {slowest / timing.p50_ms:8.1f}"
        print(f"{name:28} {figures} {accuracy.get(name, ''):>9}")


def _export(run: Path, row: Candidate) -> Path:
    return next(path for path in run.glob("export-*") if read_card(path).digest == row.export)


if __name__ == "__main__":
    main()
