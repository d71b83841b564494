"""What the search finds, beside what single tools make of the same trained network: `make bench-optimize`.

    python benchmarks/optimize_peers.py                                 # every spec of benchmarks/optimize
    python benchmarks/optimize_peers.py benchmarks/optimize/neu-resnet18.yaml --rounds 40

Everybody has the same weights, the same calibration images and the same uint8 pictures in and probabilities out. All
are timed in one run, interleaved, at batch 1 with all cores; accuracy is on the test split, with the 95% interval of
the difference to eager PyTorch on the same images. "Behind" is who loses more than a point.

Static INT8 of ONNX Runtime and NNCF is made with Fettle's settings (per-channel weights, unsigned activations, the
first and last operations of the graph in float), which are better than these tools' defaults. Torch-Pruning prunes
half of the channels of each layer as its tutorial does (widths as they come) and is trained again for as many epochs
as a network of the search at most.
"""

import argparse
import contextlib
import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fettle.card import read_card
from fettle.data import Dataset, open_dataset
from fettle.evaluate import results
from fettle.evaluate.intervals import PairedDifference, paired_difference
from fettle.evaluate.results import SELECTION, Benchmark, Selection
from fettle.export import open_export
from fettle.export.manifest import Export
from fettle.export.served import Served
from fettle.hardware import passport
from fettle.models import load_model
from fettle.runtimes import open_engine
from fettle.spec import BenchmarkConfig, FinetuneConfig, PruneConfig, QuantizeConfig, Spec, load_spec
from fettle.steps.benchmark import benchmark

SPECS = Path(__file__).parent / "optimize"
Predict = Callable[[np.ndarray], np.ndarray]
FLOOR = 0.01


@dataclass(frozen=True)
class Tool:
    """One way to serve the network: an export in a runtime, or a function in this process."""

    export: Path | None = None
    runtime: str = ""
    function: Predict | None = None


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
    tools = dict(all_tools(spec, run, data, work / spec.name))
    timed = benchmark(
        [(name, tool.export, tool.runtime) for name, tool in tools.items() if tool.export],
        data.artifact.path,
        work / spec.name / "benchmark",
        config=BenchmarkConfig(batches=[1], rounds=rounds, threads=passport().cores),
        extra={name: tool.function for name, tool in tools.items() if tool.function},
    )
    measured = results.load(timed.path / results.BENCHMARK, Benchmark)
    times = {name: timing.p50_ms for name, timing in {**measured.extra, **measured.candidates}.items()}
    rights = {name: right_ones(tool, data) for name, tool in tools.items()}
    return table(spec, times, rights)


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


def all_tools(spec: Spec, run: Path, data: Dataset, work: Path) -> Iterator[tuple[str, Tool]]:
    torch.set_num_threads(passport().cores)
    model = run / "model-baseline"
    served = Served(*load_model(model)).eval()
    yield "eager PyTorch", Tool(function=asking(served))
    if (compiled := compile_model(served, np.ascontiguousarray(data.subset("test").images[:1]))) is not None:
        yield "torch.compile", Tool(function=compiled)
    baseline = run / "export-baseline"
    yield "ONNX Runtime FP32", Tool(baseline, "onnxruntime")
    yield "ONNX Runtime INT8", Tool(quantized(baseline, data, work / "ort"), "onnxruntime")
    yield "OpenVINO FP32", Tool(function=openvino_float32(open_export(baseline)))
    if passport().native_bf16:
        yield "OpenVINO bf16", Tool(baseline, "openvino")
    yield "OpenVINO NNCF INT8", Tool(quantized(baseline, data, work / "nncf", runtime="openvino"), "openvino")
    yield "Torch-Pruning, ONNX Runtime", Tool(torch_pruning(spec, model, data, work / "pruned"), "onnxruntime")
    if importlib.util.find_spec("olive"):
        yield "Olive", Tool(olive(baseline, data, work / "olive"), "onnxruntime")
    yield "Fettle", fettle(run)


def asking(module: nn.Module) -> Predict:
    @torch.inference_mode()
    def predict(images: np.ndarray) -> np.ndarray:
        return module(torch.from_numpy(images))[0].numpy()

    return predict


def compile_model(served: nn.Module, image: np.ndarray) -> Predict | None:
    predict = asking(torch.compile(served))
    try:
        predict(image)
    except Exception as error:  # no C++ compiler, or an operator that it does not know
        print(f"torch.compile is left out: {str(error).splitlines()[0]}")
        return None
    return predict


def openvino_float32(export: Export) -> Predict:
    """Return OpenVINO told to compute in float32, which no option of Triton's backend can ask for."""
    import openvino as ov

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": passport().cores}
    request = ov.Core().compile_model(export.file, "CPU", settings).create_infer_request()
    return lambda images: request.infer([images], share_inputs=True)[0].copy()


def quantized(export: Path, data: Dataset, out: Path, *, runtime: str = "onnxruntime") -> Path:
    from fettle.steps.quantize import quantize

    return quantize(export, data.artifact.path, out, config=QuantizeConfig(), recipe="int8", runtime=runtime).path


def torch_pruning(spec: Spec, model: Path, data: Dataset, work: Path) -> Path:
    """Prune by the tool alone: half of each layer's channels, in whatever widths come."""
    from fettle.steps.export import export
    from fettle.steps.finetune import finetune
    from fettle.steps.prune import prune

    config = PruneConfig(ratio=0.6, by="params", importance="l1", width_step=1)
    pruned = prune(model, work / "model", dataset=data.artifact.path, config=config).path
    tuning = FinetuneConfig(epochs=max(spec.train.epochs // 2, 1), lr=spec.train.lr, distil=None)
    tuned = finetune(pruned, data.artifact.path, work / "tuned", config=tuning, train=spec.train).path
    return export(tuned, work / "export", dataset=data.artifact.path, recipe="torch-pruning").path


def olive(export: Path, data: Dataset, out: Path) -> Path:
    """Return what Olive's static quantization with its defaults makes of the same file."""
    import shutil
    from dataclasses import replace

    from olive.data.config import DataConfig
    from olive.data.registry import Registry
    from olive.model import ONNXModelHandler
    from olive.passes.olive_pass import create_pass_from_dict
    from olive.passes.onnx.quantization import OnnxStaticQuantization

    from fettle import card
    from fettle.optimize.calibration import calibration_images

    images = calibration_images(data, 200)

    @Registry.register_dataset("fettle_calibration")
    def calibration(**_: object) -> list[tuple[dict[str, np.ndarray], int]]:
        return [({"image": image}, 0) for image in images]

    config = {"data_config": DataConfig(name="calibration", type="fettle_calibration")}
    made = create_pass_from_dict(OnnxStaticQuantization, config, disable_search=True).run(
        ONNXModelHandler(str(open_export(export).file)), str(out.with_name("olive-work"))
    )
    parents = {"export": card.read_card(export)}
    with card.create(out, kind="export", name="olive", parents=parents) as draft:
        described = replace(open_export(export), path=draft.path, recipe="olive", precision="int8")
        shutil.copyfile(made.model_path, described.file)
        described.save()
    return out


def fettle(run: Path) -> Tool:
    """Return the fastest candidate of the run that loses no more than the floor on test."""
    selection = results.load(run / "selection" / SELECTION, Selection)
    good = [row for row in selection.candidates if row.passed]
    row = min(good, key=lambda row: row.p50_ms)
    export = next(path for path in run.glob("export-*") if read_card(path).digest == row.export)
    return Tool(export, row.runtime)


def right_ones(tool: Tool, data: Dataset) -> np.ndarray:
    """Return which test images a tool classifies correctly, (N,) bool."""
    test = data.subset("test")
    with contextlib.ExitStack() as stack:
        if tool.export:
            export = open_export(tool.export)
            engine = open_engine(tool.runtime, export.file, options=export.runtime_options(tool.runtime))
            predict: Callable[[np.ndarray], np.ndarray] = lambda images: stack.enter_context(engine)(images)[0]  # noqa: E731
        else:
            assert tool.function
            predict = tool.function
        found = [predict(np.ascontiguousarray(test.images[i : i + 1]))[0].argmax() for i in range(len(test))]
    return np.array(found) == test.labels


def table(spec: Spec, times: Mapping[str, float], rights: Mapping[str, np.ndarray]) -> float:
    eager = times["eager PyTorch"]
    print(f"\n{spec.name}: {spec.model.family} at {spec.model.image_size} px")
    print(f"{'':28} {'p50 ms':>8} {'x eager':>8} {'accuracy':>9} {'points':>7}  95% interval")
    losses: dict[str, PairedDifference] = {}
    for name, time in sorted(times.items(), key=lambda pair: -pair[1]):
        right = rights[name]
        losses[name] = loss = paired_difference(right, rights["eager PyTorch"])
        low, high = 100 * loss.interval.low, 100 * loss.interval.high
        behind = "  behind" if loss.interval.estimate < -FLOOR else ""
        print(
            f"{name:28} {time:8.2f} {eager / time:8.1f} {right.mean():9.2%} {100 * loss.interval.estimate:+7.2f}"
            f"  {low:+.2f} to {high:+.2f}{behind}"
        )
    single = {name for name in times if name != "Fettle" and losses[name].interval.estimate >= -FLOOR}
    best = min(single, key=lambda name: times[name])
    gain = times[best] / times["Fettle"]
    print(f"Fettle is {gain:.2f}x as fast as {best}, and {eager / times['Fettle']:.1f}x as fast as eager PyTorch")
    return gain


if __name__ == "__main__":
    main()
