"""Batches of a data set: which images, in which order, augmented how, all decided by the seed.

An image's augmentation depends on (seed, epoch, place in the epoch) and on nothing that a process holds. So the same
images come whatever the number of workers, and after any interruption.
"""

import math
from collections.abc import Iterator
from typing import Any

import cv2
import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler
from typing_extensions import override

from fettle.data.dataset import Dataset, Subset
from fettle.hardware import passport
from fettle.spec.train import TrainConfig
from fettle.train.images import Batch, Images, Keys
from fettle.train.scenes import Scenes
from fettle.train.sources import SOURCES

LEAST = 2  # images of a process in a batch
EVAL_BATCH = 4  # batches without gradients may be this much larger


class BatchSampler(Sampler[Keys]):
    """The batches of an epoch: rows of the subset, shuffled or drawn by weight, and the seeds of their augmentation.

    The batches of an epoch differ by one image at most: none is dropped, and none has a single image (which batch
    norm could not use). Several processes take the very batches of one process, each its share of every batch; the
    shares differ by one image at most.

    Args:
        count: Images in the subset.
        batch_size: Largest batch, of all processes together.
        seed: Seed of the run.
        weights: (N,) chances to be drawn, with replacement; ``None`` shuffles.
        rank: Which of ``world`` processes this one is.
        world: Processes that train together.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        seed: int,
        weights: NDArray[np.float64] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.count, self.seed, self.weights = count, seed, weights
        self.rank, self.world = rank, world
        self.batches = math.ceil(count / batch_size)
        if world > 1:  # the smallest share has as many images as batch norm needs
            self.batches = max(min(self.batches, count // (LEAST * world)), 1)
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Keys]:
        rows, seeds = self._draw(np.random.SeedSequence([self.seed, self.epoch]))
        batches = zip(np.array_split(rows, self.batches), np.array_split(seeds, self.batches), strict=True)
        mine = slice(self.rank, None, self.world)
        return iter([(part[mine], keys[mine]) for part, keys in list(batches)[self.start :]])

    def _draw(self, entropy: np.random.SeedSequence) -> Keys:
        generator = np.random.default_rng(entropy)
        if self.weights is None:
            rows = generator.permutation(self.count)
        else:
            rows = generator.choice(self.count, size=self.count, p=self.weights / self.weights.sum())
        return rows, entropy.generate_state(self.count).astype(np.uint32)


class TrainLoader(DataLoader[Batch]):
    """A loader that counts, so that it can go on within an epoch: ``done`` batches of ``epoch`` were given out."""

    def __init__(self, images: Images | Scenes, sampler: BatchSampler, *, epoch: int, done: int, **kwargs: Any) -> None:
        super().__init__(images, batch_size=None, sampler=sampler, **kwargs)
        self.order, self.epoch, self.done = sampler, epoch, done

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        self.order.epoch, self.order.start = self.epoch, self.done
        for batch in super().__iter__():
            self.done += 1
            if self.done == len(self):
                self.epoch, self.done = self.epoch + 1, 0
            yield batch


class Batches(pl.LightningDataModule):
    """Training batches; for validation the ``val`` split, as it is.

    Args:
        dataset: Images and what is on them.
        config: Uses ``batch_size``, ``augment``, ``balance``, ``seed``, ``workers`` and the like.
        probes: Validate on as many training images too, not augmented either.
    """

    def __init__(self, dataset: Dataset, config: TrainConfig, *, probes: bool = True) -> None:
        super().__init__()
        self.source = SOURCES[dataset.task]
        self.train, self.val = dataset.subset("train"), dataset.subset("val")
        self.config = config
        self.start = {"epoch": 0, "done": 0}
        self.weights = self.source.chances(dataset, config)
        self.probes = probes

    def train_dataloader(self) -> TrainLoader:
        config = self.config
        images = self.source.augmented(self.train, config)
        together = self.trainer.num_devices if self.trainer else 1
        workers = config.workers
        if workers is None:
            workers = default_workers(augments=images.augments, processes=together)
        sampler = BatchSampler(
            len(self.train), config.batch_size, seed=config.seed, weights=self.weights, **self._share()
        )
        self.loader = TrainLoader(
            images,
            sampler,
            **self.start,
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers else None,
            worker_init_fn=single_thread,
            pin_memory=torch.cuda.is_available(),
        )
        return self.loader

    @override
    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.loader.epoch, "done": self.loader.done}

    @override
    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.start = state_dict

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        val = self._plain(self.val, np.arange(len(self.val)))
        if not self.probes:
            return [val]
        chosen = np.random.default_rng(self.config.seed).permutation(len(self.train))[: len(self.val)]
        return [val, self._plain(self.train, np.sort(chosen))]

    def _plain(self, subset: Subset, rows: NDArray[np.int64]) -> DataLoader[Batch]:
        share = self._share()
        rows = rows[share["rank"] :: share["world"]]
        count = max(math.ceil(len(rows) / (self.config.batch_size * EVAL_BATCH)), 1)
        batches: list[Keys] = [(part, np.zeros(len(part), np.uint32)) for part in np.array_split(rows, count)]
        return DataLoader(self.source.plain(subset), batch_size=None, sampler=batches)

    def _share(self) -> dict[str, int]:
        trainer = self.trainer
        return {"rank": trainer.global_rank, "world": trainer.world_size} if trainer else {"rank": 0, "world": 1}


def default_workers(*, augments: bool, processes: int = 1) -> int:
    """Return how many augmenting processes pay: none without augmentation, else the cores but one, at most 8.

    ``processes`` that train on this machine share the cores.
    """
    return min(max(passport().cores // processes - 1, 0), 8) if augments else 0


def single_thread(_: int) -> None:
    """Workers are processes already: OpenCV's own threads would fight with the training step for the cores."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
