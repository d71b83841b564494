"""The single tools that `optimize_peers.py` compares the search with, each from the same trained network and export."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from fettle import card
from fettle.card import read_card
from fettle.data import Dataset
from fettle.evaluate import results
from fettle.evaluate.results import SELECTION, Selection
from fettle.export import full_curve, open_export, set_thresholds
from fettle.export.manifest import Export
from fettle.export.served import Served, find_head
from fettle.export.suppression import PREFIX
from fettle.hardware import passport
from fettle.models import load_model
from fettle.models.architecture import Architecture
from fettle.spec import DetectionConfig, FinetuneConfig, PruneConfig, QuantizeConfig, Spec

Outputs = tuple[np.ndarray, ...]
Predict = Callable[[np.ndarray], Outputs]
CALIBRATION = 200


@dataclass(frozen=True)
class Tool:
    """One way to serve the network: an export in a runtime, or a function in this process.

    Attributes:
        export: ``export`` artifact.
        runtime: That runs it.
        function: Thresholds, beside those that are served -> what answers in this process.
    """

    export: Path | None = None
    runtime: str = ""
    function: Callable[[Mapping[str, float]], Predict] | None = None


@dataclass(frozen=True)
class Bench:
    """What every tool is given.

    Attributes:
        spec: Of the run.
        run: Its folder.
        data: Its data set.
        work: A folder for what tools make.
    """

    spec: Spec
    run: Path
    data: Dataset
    work: Path

    @property
    def model(self) -> Path:
        return self.run / "model-baseline"

    @property
    def baseline(self) -> Path:
        return self.run / "export-baseline"


def all_tools(bench: Bench) -> Iterator[tuple[str, Tool]]:
    """Yield every tool that can do the network; who cannot is told, and left out."""
    torch.set_num_threads(passport().cores)
    bench.work.mkdir(parents=True, exist_ok=True)
    for name, make in TOOLS.items():
        try:
            tool = make(bench)
            if tool is None:
                continue
            if tool.export:  # or it could be timed, and not be scored
                with_thresholds(open_export(tool.export), bench.work / "checked", full_curve(open_export(tool.export)))
            yield name, tool
        except Exception as error:  # tools have no common base of their errors
            print(f"{name} is left out: {(str(error) or type(error).__name__).splitlines()[0]}", flush=True)


def eager(bench: Bench) -> Tool:
    served, architecture = _served(bench)
    return Tool(function=lambda changes: asking(served, architecture, _detections(bench, changes)))


def compiled(bench: Bench) -> Tool:
    """Compile all but the suppression of boxes, which goes box by box."""
    served, architecture = _served(bench)
    module = torch.compile(served)
    # There may be no C++ compiler, or an operator that it does not know: it says so at the first call.
    module(torch.from_numpy(np.array(bench.data.subset("test").images[:1])))
    return Tool(function=lambda changes: asking(module, architecture, _detections(bench, changes)))


def _served(bench: Bench) -> tuple[nn.Module, Architecture]:
    model, architecture = load_model(bench.model)
    return Served(model, architecture).eval(), architecture


def _detections(bench: Bench, changes: Mapping[str, float]) -> DetectionConfig:
    return bench.spec.detections.model_copy(update=dict(changes))


def asking(module: nn.Module, architecture: Architecture, detections: DetectionConfig) -> Predict:
    """Return a function of uint8 images that gives what the exported graph gives."""
    finish = find_head(architecture.task).reference

    @torch.inference_mode()
    def predict(images: np.ndarray) -> Outputs:
        outputs = finish(module(torch.from_numpy(images)), architecture, detections)
        return tuple(output.numpy() for output in outputs)

    return predict


def openvino_float32(bench: Bench) -> Tool:
    """Return OpenVINO told to compute in float32, which no option of Triton's backend can ask for."""
    import openvino as ov

    export = open_export(bench.baseline)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": passport().cores}

    def ask(changes: Mapping[str, float]) -> Predict:
        file = with_thresholds(export, bench.work / "openvino-float32", changes).file
        request = ov.Core().compile_model(file, "CPU", settings).create_infer_request()
        return lambda images: tuple(value.copy() for value in request.infer([images], share_inputs=True).values())

    return Tool(function=ask)


def with_thresholds(export: Export, folder: Path, changes: Mapping[str, float]) -> Export:
    """Return the export with other thresholds, in ``folder``, or as it is where none changes."""
    if not changes:
        return export
    folder.mkdir(parents=True, exist_ok=True)
    return set_thresholds(export, folder, **changes)


def quantized(bench: Bench, runtime: str) -> Tool:
    from fettle.steps.quantize import quantize

    out = bench.work / f"int8-{runtime}"
    config = QuantizeConfig()
    made = quantize(bench.baseline, bench.data.artifact.path, out, config=config, recipe="int8", runtime=runtime)
    return Tool(made.path, runtime)


def torch_pruning(bench: Bench) -> Tool:
    """Prune by the tool alone: half of each layer's channels, in whatever widths come."""
    from fettle.steps.export import export
    from fettle.steps.finetune import finetune
    from fettle.steps.prune import prune

    data, train, work = bench.data.artifact.path, bench.spec.train, bench.work / "torch-pruning"
    config = PruneConfig(ratio=0.6, by="params", importance="l1", width_step=1, reconstruct=False)
    pruned = prune(bench.model, work / "model", dataset=data, config=config).path
    tuning = FinetuneConfig(epochs=max(train.epochs // 2, 1), lr=train.lr, distil=None)
    tuned = finetune(pruned, data, work / "tuned", config=tuning, train=train).path
    made = export(tuned, work / "export", dataset=data, recipe="torch-pruning", detections=bench.spec.detections)
    return Tool(made.path, "onnxruntime")


def olive(bench: Bench) -> Tool | None:
    """Return what Olive's static quantization makes of the same file; ``None`` without Olive."""
    if not importlib.util.find_spec("olive"):
        print("Olive is left out: it is not installed, see the top of benchmarks/optimize_peers.py")
        return None
    return Tool(quantize_by_olive(bench.baseline, bench.data, bench.work / "olive"), "onnxruntime")


def quantize_by_olive(export: Path, data: Dataset, out: Path) -> Path:
    """Quantize with Olive's defaults, but for a detector's suppression: its thresholds would become 8-bit numbers."""
    # Before it is imported. It reports its use to its maker; told not to, 0.13 still does once, unless it is in a CI.
    os.environ.update(OLIVE_DISABLE_TELEMETRY="1", CI="1")
    from olive.data.config import DataComponentConfig, DataConfig
    from olive.data.registry import Registry
    from olive.model import ONNXModelHandler
    from olive.passes.olive_pass import create_pass_from_dict
    from olive.passes.onnx.quantization import OnnxStaticQuantization

    from fettle.optimize.calibration import calibration_images

    images = calibration_images(data, CALIBRATION)

    @Registry.register_dataset("fettle_calibration")
    def calibration(**_: object) -> list[tuple[dict[str, np.ndarray], int]]:
        return [({"image": image}, 0) for image in images]

    source, file = DataComponentConfig(type="fettle_calibration"), open_export(export).file
    config = {
        "data_config": DataConfig(name="calibration", load_dataset_config=source),
        "nodes_to_exclude": [node.name for node in onnx.load(file).graph.node if node.name.startswith(PREFIX)],
    }
    made = create_pass_from_dict(OnnxStaticQuantization, config, disable_search=True).run(
        ONNXModelHandler(str(file)), str(out.with_name("olive-work"))
    )
    with card.create(out, kind="export", name="olive", parents={"export": card.read_card(export)}) as draft:
        described = replace(open_export(export), path=draft.path, recipe="olive", precision="int8")
        shutil.copyfile(made.model_path, described.file)
        described.save()
    return out


def fettle(bench: Bench) -> Tool:
    """Return the fastest candidate of the run that loses no more than the floor on test."""
    selection = results.load(bench.run / "selection" / SELECTION, Selection)
    row = min((row for row in selection.candidates if row.passed), key=lambda row: row.p50_ms)
    export = next(path for path in bench.run.glob("export-*") if read_card(path).digest == row.export)
    return Tool(export, row.runtime)


EAGER, FETTLE = "eager PyTorch", "Fettle"
TOOLS: Mapping[str, Callable[[Bench], Tool | None]] = {
    EAGER: eager,
    "torch.compile": compiled,
    "ONNX Runtime FP32": lambda bench: Tool(bench.baseline, "onnxruntime"),
    "ONNX Runtime INT8": lambda bench: quantized(bench, "onnxruntime"),
    "OpenVINO FP32": openvino_float32,
    "OpenVINO bf16": lambda bench: Tool(bench.baseline, "openvino") if passport().native_bf16 else None,
    "OpenVINO NNCF INT8": lambda bench: quantized(bench, "openvino"),
    "Torch-Pruning, ONNX Runtime": torch_pruning,
    "Olive": olive,
    FETTLE: fettle,
}
