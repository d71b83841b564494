"""A process of a training, as torchrun starts it: fit, and write down what it saw. Run by ``test_together.py``."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from fettle.data.dataset import open_dataset
from fettle.models.architecture import Architecture
from fettle.models.registry import build_model, find_family
from fettle.spec import TrainConfig
from fettle.train.classification import Classification
from fettle.train.fit import fit
from fettle.train.images import Batch, Images, Keys

OPTIONS: dict[str, dict[str, Any]] = {"yolov5_resnet": {"backbone": "test_resnet", "width": 16}}  # tiny ones


def main(dataset: Path, folder: Path, *, family: str, config: dict[str, Any], broken: bool = False) -> None:
    """Write ``seen-<rank>.jsonl``: a line for every row of the history, and one for every training batch.

    ``broken``: the loss of the second process is not finite.
    """
    torch.set_num_threads(1)
    rank = distributed.get_rank() if distributed.is_initialized() else 0
    seen = (folder / f"seen-{rank}.jsonl").open("a")
    print(json.dumps({"pid": os.getpid()}), file=seen, flush=True)
    if broken and rank == 1:
        Classification.loss = lambda self, model, images, labels: (model(images).sum() * torch.nan, ())  # type: ignore[assignment]
    data = open_dataset(dataset)
    means = find_family(data.task, family)
    architecture = Architecture(
        data.task, family, data.classes, data.image_size, OPTIONS.get(family, {}), means.mean, means.std
    )
    take = Images.__getitem__

    def watched(self: Images, keys: Keys) -> Batch:
        if len(keys[1]) and keys[1].any():  # what is scored has no seeds
            print(json.dumps({"batch": keys[0].tolist()}), file=seen, flush=True)
        return take(self, keys)

    Images.__getitem__ = watched  # type: ignore[method-assign]
    torch.manual_seed(0)
    fit(
        build_model(architecture), architecture, data, TrainConfig(**config), folder=folder / "run",
        on_epoch=lambda row: print(json.dumps({"row": row}), file=seen, flush=True),
    )  # fmt: skip


if __name__ == "__main__":
    distributed.init_process_group("gloo")
    given = json.loads(sys.argv[4])
    main(Path(sys.argv[1]), Path(sys.argv[2]), family=sys.argv[3], config=given, broken="broken" in sys.argv[5:])
