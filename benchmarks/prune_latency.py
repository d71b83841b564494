"""What pruning buys: latency of a dense and a pruned network in the same runtime, accuracy and file sizes.

The claim: 30% fewer parameters of ResNet-50 give at least 25% less latency in the same runtime, after
fine-tuning, and an INT8 file is at most 30% of the float one.

    python benchmarks/prune_latency.py                                    # trains on castings first
    python benchmarks/prune_latency.py --model RUN/model --dataset RUN/dataset --finetune 5
    python benchmarks/prune_latency.py --epochs 0 --family resnet18 --size 112 --variants l1/layer/1

Latency hangs on widths only, so ``--epochs 0`` (random weights) serves to compare variants.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fettle import card
from fettle.spec import (
    BenchmarkConfig,
    DatasetConfig,
    FinetuneConfig,
    ModelConfig,
    PruneConfig,
    QuantizeConfig,
    TrainConfig,
)
from fettle.steps.benchmark import benchmark
from fettle.steps.export import export
from fettle.steps.ingest import ingest
from fettle.steps.prune import prune
from fettle.steps.quantize import quantize
from fettle.steps.validate import validate

RUNTIMES = ("onnxruntime", "openvino")
Removed = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """One network in one precision and runtime."""

    variant: str
    precision: str
    runtime: str
    export: Path

    @property
    def name(self) -> str:
        return f"{self.variant}-{self.precision}-{self.runtime}".replace("/", "-")


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(options.work or folder)
        dataset, dense = prepare(options, work)
        models, removed = {"dense": dense}, {"dense": (0.0, 0.0)}
        for variant in options.variants:
            models[variant], removed[variant] = thin_out(options, work, dataset, dense, variant)
        rows = [row for variant, model in models.items() for row in candidates(variant, model, dataset, work)]
        config = BenchmarkConfig(batches=[1], rounds=options.rounds, threads=options.threads)
        entries = [(row.name, row.export, row.runtime) for row in rows]
        measured = benchmark(entries, dataset, work / "benchmark", config=config)
        timings = json.loads((measured.path / "benchmark.json").read_text())["candidates"]
        report(rows, removed, timings, {row.name: accuracy(row, dataset, work) for row in rows})


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="trained model artifact; needs --dataset")
    parser.add_argument("--dataset", type=Path, help="its dataset artifact")
    parser.add_argument("--family", default="resnet50")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--count", type=int, default=400, help="castings to make")
    parser.add_argument("--epochs", type=int, default=3, help="0: random weights")
    parser.add_argument("--finetune", type=int, default=2, help="epochs after pruning; 0: none")
    parser.add_argument("--ratio", type=float, default=0.3)
    parser.add_argument("--by", default="params", choices=("params", "macs"))
    parser.add_argument("--variants", nargs="+", default=["group_norm/global/16"], metavar="IMPORTANCE/SCOPE/STEP")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--work", type=Path, help="keep the artifacts here")
    return parser.parse_args()


def prepare(options: argparse.Namespace, work: Path) -> tuple[Path, Path]:
    """Return a dataset and a trained model, given or made."""
    if options.model:
        return options.dataset, options.model
    config = DatasetConfig(layout="castings", path=str(work / "castings"), count=options.count)
    dataset = ingest(work / "castings", work / "dataset", dataset=config, image_size=options.size).path
    model = ModelConfig(family=options.family, image_size=options.size)
    if options.epochs == 0:
        return dataset, random_weights(model, dataset, work / "dense")
    from fettle.steps.train import train

    return dataset, train(dataset, work / "dense", model=model, train=TrainConfig(epochs=options.epochs)).path


def random_weights(config: ModelConfig, dataset: Path, out: Path) -> Path:
    """Write a ``model`` artifact that was never trained."""
    import torch

    from fettle.data import open_dataset
    from fettle.models import Architecture, build_model, save_model

    torch.manual_seed(0)
    data = open_dataset(dataset)
    architecture = Architecture(data.task, config.family, data.classes, config.image_size, config.options)
    with card.create(out, kind="model", name=config.family) as draft:
        save_model(draft.path, build_model(architecture), architecture)
    return out


def thin_out(options: argparse.Namespace, work: Path, dataset: Path, dense: Path, variant: str) -> tuple[Path, Removed]:
    """Prune, and fine-tune where that is wanted and the weights mean something."""
    importance, scope, step = variant.split("/")
    config = PruneConfig(ratio=options.ratio, by=options.by, importance=importance, scope=scope, width_step=int(step))
    out = work / variant.replace("/", "-")
    pruned = prune(dense, out, dataset=dataset, config=config)
    removed = (pruned.card.summary["params_removed"], pruned.card.summary["macs_removed"])
    if options.finetune == 0 or (options.epochs == 0 and not options.model):
        return pruned.path, removed
    from fettle.steps.finetune import finetune

    tuned = out.with_name(out.name + "-tuned")
    tuning = FinetuneConfig(epochs=options.finetune)
    finetune(pruned.path, dataset, tuned, config=tuning, train=TrainConfig(), parent=dense)
    return tuned, removed


def candidates(variant: str, model: Path, dataset: Path, work: Path) -> list[Row]:
    folder = work / "exports" / variant.replace("/", "-")
    exported = export(model, folder / "float32", dataset=dataset, recipe="baseline").path
    rows = [Row(variant, "float32", runtime, exported) for runtime in RUNTIMES]
    for runtime in RUNTIMES:
        config = QuantizeConfig(images=64)
        int8 = quantize(exported, dataset, folder / runtime, config=config, recipe="int8", runtime=runtime).path
        rows.append(Row(variant, "int8", runtime, int8))
    return rows


def accuracy(row: Row, dataset: Path, work: Path) -> float:
    made = validate(row.export, dataset, work / "validations" / row.name, runtime=row.runtime)
    return float(json.loads((made.path / "metrics.json").read_text())["test"]["accuracy"])


def report(
    rows: Sequence[Row], removed: Mapping[str, Removed], timings: Mapping, accuracies: Mapping[str, float]
) -> None:
    print("| network | params | MACs | runtime | precision | p50 ms | to dense | size MB | to float | accuracy |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: (row.runtime, row.precision)):
        mine = timings[row.name]
        dense = timings[replace(row, variant="dense").name]
        floating = timings[replace(row, precision="float32").name]
        params, macs = removed[row.variant]
        print(
            f"| {row.variant} | {-params:.1%} | {-macs:.1%} | {row.runtime} | {row.precision} | {mine['p50_ms']:.2f} "
            f"| {mine['p50_ms'] / dense['p50_ms'] - 1:+.0%} | {mine['size_mb']:.1f} "
            f"| {mine['size_mb'] / floating['size_mb']:.0%} | {accuracies[row.name]:.3f} |"
        )


if __name__ == "__main__":
    main()
