"""Which images an epoch shows."""

from itertools import chain

import numpy as np
import pytest
import torch

from fettle.data.dataset import Dataset
from fettle.hardware import passport
from fettle.spec import TrainConfig
from fettle.train.batches import Batches, BatchSampler, TrainLoader, default_workers
from fettle.train.images import Images, image_weights


def batches(sampler: BatchSampler, epoch: int = 0) -> list[list[int]]:
    sampler.epoch = epoch
    return [batch.tolist() for batch, _ in sampler]


def rows(sampler: BatchSampler, epoch: int = 0) -> list[int]:
    return list(chain.from_iterable(batches(sampler, epoch)))


@pytest.mark.parametrize(("count", "size"), [(100, 24), (97, 24), (25, 24), (5, 24), (49, 8)])
def test_an_epoch_shows_every_image_once_in_even_batches(count: int, size: int) -> None:
    sampler = BatchSampler(count, size, seed=0)
    assert sorted(rows(sampler)) == list(range(count))
    lengths = {len(batch) for batch in batches(sampler)}
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1


def test_order_and_seeds_follow_from_seed_and_epoch() -> None:
    first, second = BatchSampler(50, 8, seed=1), BatchSampler(50, 8, seed=1)
    assert rows(first, 3) == rows(second, 3)
    assert rows(first, 3) != rows(first, 4)
    assert rows(first, 3) != rows(BatchSampler(50, 8, seed=2), 3)
    seeds = np.concatenate([seeds for _, seeds in first])
    assert len(set(seeds.tolist())) == 50


def test_weighted_sampling_draws_rare_images_more_often() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    weights = image_weights(labels, 100 / (2 * np.array([90, 10])), 1.0)
    assert weights is not None
    sampler = BatchSampler(100, 10, seed=0, weights=weights)
    assert len(rows(sampler)) == 100
    assert np.mean([labels[rows(sampler, epoch)].mean() for epoch in range(50)]) == pytest.approx(0.5, abs=0.03)
    assert image_weights(labels, np.array([1.0, 9.0]), 0.0) is None, "exponent 0 shows every image once"


def test_processes_share_an_epoch() -> None:
    alone = BatchSampler(101, 8, seed=0)
    first, second = (BatchSampler(101, 8, seed=0, rank=rank, world=2) for rank in (0, 1))
    for whole, left, right in zip(*map(batches, (alone, first, second)), strict=True):
        assert sorted([*left, *right]) == sorted(whole)
        assert abs(len(left) - len(right)) <= 1


def test_no_share_of_a_batch_is_too_small_for_batch_norm() -> None:
    for count in range(8, 60):
        for rank in range(4):
            assert min(map(len, batches(BatchSampler(count, 8, seed=0, rank=rank, world=4)))) >= 2


def test_a_loader_goes_on_within_an_epoch(dataset: Dataset) -> None:
    images = Images(dataset.subset("train"))

    def labels(epoch: int, done: int) -> list[list[int]]:
        sampler = BatchSampler(len(images.subset), 8, seed=0)
        return [batch[1].tolist() for batch in TrainLoader(images, sampler, epoch=epoch, done=done)]

    assert labels(2, 3) == labels(2, 0)[3:]


def test_validation_batches_are_the_val_split_and_as_many_training_images(dataset: Dataset) -> None:
    val, probe = Batches(dataset, TrainConfig(batch_size=2)).val_dataloader()
    images = torch.cat([images for images, _ in val])
    assert np.array_equal(images.numpy(), dataset.subset("val").images)
    assert sum(len(labels) for _, labels in probe) == len(dataset.subset("val"))
    train = {image.tobytes() for image in dataset.subset("train").images}
    assert all(image.numpy().tobytes() in train for images, _ in probe for image in images)


def test_workers_only_where_there_is_work_for_them() -> None:
    assert default_workers(augments=False) == 0
    assert default_workers(augments=True) <= max(passport().cores - 1, 0)
