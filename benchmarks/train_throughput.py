"""Images per second of ``fettle.train.fit`` against a plain timm loop with the same augmentation.

Both train the same network on the same images with the same batches a round, augmenting processes, arithmetic and
threads, in alternation; validation counts for neither. The plain loop is what a careful script does: a DataLoader with
collation, channels_last, autocast, clipping, a scheduler, and no logging at all.

    python benchmarks/train_throughput.py --family resnet18 --size 112 --batch 32
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import timm
import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from fettle.card import Artifact, Card
from fettle.data.augment import augmenter
from fettle.data.boxes import Boxes
from fettle.data.dataset import Dataset, Record
from fettle.hardware import passport
from fettle.models.architecture import IMAGENET_MEAN, IMAGENET_STD, Architecture
from fettle.models.registry import build_model
from fettle.spec import TrainConfig
from fettle.train.batches import default_workers
from fettle.train.fit import fit

CLASSES = tuple("abcdef")


def noise(count: int, size: int) -> Dataset:
    """A data set in memory: ``count`` training images of noise, and a few to validate on."""
    generator = np.random.default_rng(0)
    splits = ["train"] * count + ["val"] * len(CLASSES)
    records = [Record(str(i), i % len(CLASSES), split, "", size, size) for i, split in enumerate(splits)]
    images = generator.integers(0, 256, (len(records), size, size, 3), dtype=np.uint8)
    counts = {"train": {name: len(range(label, count, len(CLASSES))) for label, name in enumerate(CLASSES)}}
    card = Card(kind="dataset", name="noise", digest="", files={})
    boxes = Boxes.none(len(records))
    return Dataset(Artifact(Path(), card), "classify", CLASSES, size, images, tuple(records), counts, {}, boxes)


class Augmented(TorchDataset):
    def __init__(self, dataset: Dataset, transforms: list[dict]) -> None:
        self.subset = dataset.subset("train")
        self.augment = augmenter(transforms) if transforms else None

    def __len__(self) -> int:
        return len(self.subset)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = np.array(self.subset.images[index])
        image = image if self.augment is None else self.augment(image)
        return torch.from_numpy(image), int(self.subset.labels[index])


class PlainLoop:
    """The loop to compare with, one epoch a call."""

    def __init__(self, dataset: Dataset, family: str, config: TrainConfig, epochs: int) -> None:
        self.config = config
        self.model = timm.create_model(family, num_classes=len(CLASSES)).to(memory_format=torch.channels_last).train()
        self.loader = DataLoader(
            Augmented(dataset, config.augment),
            config.batch_size,
            shuffle=True,
            num_workers=config.workers or 0,
            persistent_workers=bool(config.workers),
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        steps = epochs * len(self.loader)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, config.lr, total_steps=steps)
        self.mean, self.std = (255 * torch.tensor(x).view(1, 3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))

    def epoch(self) -> float:
        start, count = time.perf_counter(), 0
        for images, labels in self.loader:
            x = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
            with torch.autocast("cpu", torch.bfloat16, enabled=self.config.precision == "bf16"):
                loss = F.cross_entropy(self.model(x), labels, label_smoothing=self.config.label_smoothing)
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
            self.optimizer.step()
            self.schedule.step()
            count += len(labels)
        return count / (time.perf_counter() - start)


def main() -> None:
    arguments = parse()
    torch.set_num_threads(passport().cores)
    config = TrainConfig.model_validate(
        {
            "preset": arguments.preset, "epochs": arguments.rounds + 1, "batch_size": arguments.batch, "patience": 0,
            "precision": arguments.precision, "mixup": 0, "clip_norm": 1.0, "balance": {"loss": 0, "sampling": 0},
            "schedule": "onecycle", "trainer": {"accelerator": "cpu"},
        }
    )  # fmt: skip
    config = config.model_copy(update={"workers": default_workers(augments=bool(config.augment))})
    dataset = noise(arguments.images, arguments.size)
    plain = PlainLoop(dataset, arguments.family, config, arguments.rounds + 1)
    plain_rates: list[float] = []
    architecture = Architecture("classify", arguments.family, CLASSES, arguments.size)
    with tempfile.TemporaryDirectory() as folder:
        result = fit(
            build_model(architecture), architecture, dataset, config, folder=Path(folder),
            on_epoch=lambda _: plain_rates.append(plain.epoch()),
        )  # fmt: skip
    fettle_rates = [row["images_per_second"] for row in result.timing]
    show(arguments, config, plain_rates[1:], fettle_rates[1:])  # the first epoch starts workers and warms caches


def show(arguments: argparse.Namespace, config: TrainConfig, plain: list[float], ours: list[float]) -> None:
    ratios = [b / a for a, b in zip(plain, ours, strict=True)]
    title = (
        f"{arguments.family} at {arguments.size} px, batch {arguments.batch}, {config.precision}, preset "
        f"{arguments.preset}, {config.workers} workers, {torch.get_num_threads()} threads"
    )
    table = Table("loop", "images/s (median)", "range", "ratio (median of rounds)", title=title)
    for name, rates, ratio in (("plain timm", plain, ""), ("fettle", ours, f"{statistics.median(ratios):.3f}")):
        table.add_row(name, f"{statistics.median(rates):.1f}", f"{min(rates):.1f} to {max(rates):.1f}", ratio)
    Console().print(table)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="resnet18")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--preset", default="defect", choices=["plain", "defect", "expression"])
    parser.add_argument("--precision", default="bf16" if passport().native_bf16 else "float32")
    return parser.parse_args()


if __name__ == "__main__":
    main()
