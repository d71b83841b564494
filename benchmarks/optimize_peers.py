"""What the search finds, beside what single tools make of the same trained network: `make bench-optimize`.

    python benchmarks/optimize_peers.py                                 # every spec of benchmarks/optimize
    python benchmarks/optimize_peers.py benchmarks/optimize/neu-resnet18.yaml --rounds 40

Everybody has the same weights, the same calibration images and the same uint8 pictures in and answers out, which are
probabilities, or boxes after suppression. All are timed in one run, interleaved, at batch 1 with all cores. Accuracy is
the task's headline measure on the test split (of detectors mAP50, of all that they can answer), with the 95% interval
of the difference to eager PyTorch on the same images. "Behind" is who loses more than a point.

Static INT8 of ONNX Runtime and NNCF is made with Fettle's settings (per-channel weights, unsigned activations, the
first and last operations of the graph in float), which are better than these tools' defaults. Torch-Pruning prunes
half of the channels of each layer as its tutorial does (widths as they come) and is trained again for as many epochs
as a network of the search at most; it cannot prune YOLOv8's C2f as it stands, and gets the block in Fettle's form.
Olive (0.13) is no requirement of ours, and is compared where it is installed: `VIRTUAL_ENV=.venv .venv/bin/uv pip
install olive-ai` adds ten packages to `.venv` and changes none; the next change of requirements.lock removes them.
"""

import argparse
import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from _peers import EAGER, FETTLE, Bench, Outputs, Tool, all_tools, with_thresholds

from fettle.data import Dataset, open_dataset
from fettle.evaluate import results
from fettle.evaluate.measures import headline
from fettle.evaluate.outcomes import Outcome
from fettle.evaluate.predict import predict
from fettle.evaluate.results import Benchmark, Selection
from fettle.evaluate.tasks import TASKS
from fettle.export import full_curve, open_export
from fettle.export.manifest import Export
from fettle.hardware import passport
from fettle.runtimes import open_engine
from fettle.spec import BenchmarkConfig, Spec, load_spec
from fettle.spec.recipes import BASELINE
from fettle.steps.benchmark import benchmark

SPECS = Path(__file__).parent / "optimize"
FLOOR, CONFIDENCE = 0.01, 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", type=Path, nargs="*", help="specs whose recipe `auto` searches")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--work", type=Path, help="keep what the tools make here")
    options = parser.parse_args()
    print(f"{passport().cpu}, {passport().cores} cores, {' '.join(passport().flags)}")
    gains = []
    for file in options.specs or sorted(SPECS.glob("*.yaml")):
        spec = load_spec(file)
        if not Path(spec.dataset.path).exists() and spec.dataset.layout != "castings":
            print(f"{spec.name}: left out, {spec.dataset.path} is not here")
            continue
        with tempfile.TemporaryDirectory() as folder:
            gains.append(compare(spec, options.work or Path(folder), rounds=options.rounds))
    if gains:
        mean = float(np.exp(np.mean(np.log(gains))))
        print(f"\nFettle against the fastest single tool within {FLOOR:.0%}: {mean:.2f}x in the geometric mean")


def compare(spec: Spec, work: Path, *, rounds: int) -> float:
    """Print the table of one network; return how many times as fast as the best single tool Fettle's choice is."""
    run = run_pipeline(spec)
    data = open_dataset(next(run.glob("dataset-*")))
    bench = Bench(spec, run, data, work / spec.name)
    tools = dict(all_tools(bench))
    timed = benchmark(
        [(name, tool.export, tool.runtime) for name, tool in tools.items() if tool.export],
        data.artifact.path,
        work / spec.name / "benchmark",
        config=BenchmarkConfig(batches=[1], rounds=rounds, threads=passport().cores),
        extra={name: tool.function({}) for name, tool in tools.items() if tool.function},
    )
    measured = results.load(timed.path / results.BENCHMARK, Benchmark)
    times = {name: timing.p50_ms for name, timing in {**measured.extra, **measured.candidates}.items()}
    baseline = open_export(bench.baseline)
    outcomes = {name: outcome(tool, baseline, data) for name, tool in tools.items()}
    levers(run)
    return table(spec, times, outcomes)


def levers(run: Path) -> None:
    """Print what single recipes of the spec brought, each beside the baseline in the same runtime."""
    rows = {row.name: row for row in results.load(run / "selection" / results.SELECTION, Selection).candidates}
    for row in rows.values():
        before = rows.get(f"{BASELINE}-{row.runtime}")
        if before is None or row is before or row.difference is None or row.recipe.startswith("auto"):
            continue
        low, points, high = (100 * getattr(row.difference.interval, end) for end in ("low", "estimate", "high"))
        time, size = row.p50_ms / before.p50_ms, row.size_mb / before.size_mb
        print(
            f"{row.name}: {1 / time:.2f}x as fast as {before.name} ({time - 1:+.0%} time), {size - 1:+.0%} size, "
            f"{points:+.2f} points ({low:+.2f} to {high:+.2f})"
        )


def run_pipeline(spec: Spec) -> Path:
    """Run the pipeline of the spec, or take it from the cache; return the folder of the run."""
    from fettle.cli.summary import show_run
    from fettle.data.fingerprint import fingerprint
    from pipelines.local import run_local
    from pipelines.plan import plan

    graph = plan(spec, content=fingerprint(Path(spec.dataset.path), spec.dataset), machine=passport())
    report = run_local(graph, name=spec.name, runs=Path(spec.runs))
    with contextlib.redirect_stdout(None):
        show_run(report, Path(spec.runs), spec, as_json=False)
    return Path(spec.runs) / spec.name / "latest"


def outcome(tool: Tool, baseline: Export, data: Dataset) -> Outcome:
    """Return what a tool makes of the test images, in the form in which Fettle compares candidates."""
    test, task = data.subset("test"), TASKS[baseline.task]
    outputs = answers(tool, baseline, np.array(test.images))  # torch wants what it could write to
    found = {tensor.name: value for tensor, value in zip(baseline.outputs, outputs, strict=True)}
    return task.outcome(task.study({**found, **task.truth(test)}, len(data.classes)), baseline.thresholds)


def answers(tool: Tool, baseline: Export, images: np.ndarray) -> Outputs:
    """Return all that a tool can answer, image by image as it is timed."""
    curve = full_curve(baseline)
    if tool.function:
        return predict(tool.function(curve), images, batch=1)
    assert tool.export
    export = open_export(tool.export)
    with tempfile.TemporaryDirectory() as folder:
        full = with_thresholds(export, Path(folder), curve)
        with open_engine(tool.runtime, full.file, options=full.runtime_options(tool.runtime)) as engine:
            return predict(engine, images, batch=1)


def table(spec: Spec, times: Mapping[str, float], outcomes: Mapping[str, Outcome]) -> float:
    measure, eager = headline(spec.task), times[EAGER]
    print(f"\n{spec.name}: {spec.model.family} at {spec.model.image_size} px")
    print(f"{'':28} {'p50 ms':>8} {'x eager':>8} {measure.name:>9} {'points':>7}  95% interval")
    losses = {name: _loss(mine, outcomes[EAGER], measure.name) for name, mine in outcomes.items()}
    for name, time in sorted(times.items(), key=lambda pair: -pair[1]):
        score = outcomes[name].scores(confidence=CONFIDENCE)[measure.name].interval.estimate
        low, points, high = (100 * value for value in losses[name])
        behind = "  behind" if is_behind(losses[name]) else ""
        print(
            f"{name:28} {time:8.2f} {eager / time:8.1f} {score:9.2%} {points:+7.2f}  {low:+.2f} to {high:+.2f}{behind}"
        )
    single = {name for name in times if name != FETTLE and not is_behind(losses[name])}
    best = min(single, key=lambda name: times[name])
    gain = times[best] / times[FETTLE]
    print(f"Fettle is {gain:.2f}x as fast as {best}, and {eager / times[FETTLE]:.1f}x as fast as eager PyTorch")
    return gain


def _loss(mine: Outcome, eager: Outcome, measure: str) -> tuple[float, float, float]:
    """Return the paired difference to eager PyTorch: the lower end of its interval, the estimate, the upper end."""
    interval = mine.against(eager, max_drop=FLOOR, confidence=CONFIDENCE)[measure].interval
    return interval.low, interval.estimate, interval.high


def is_behind(loss: tuple[float, float, float]) -> bool:
    return loss[1] < -FLOOR - 1e-9  # 199 of 200 right is a drop of 0.005, whatever binary fractions make of it


if __name__ == "__main__":
    main()
