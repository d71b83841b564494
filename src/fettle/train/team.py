"""Processes that train one network together, each on its share of every batch (DDP); torchrun starts them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed, nn

from fettle.data.dataset import Dataset
from fettle.errors import SpecError, TrainError
from fettle.spec.train import TrainConfig
from fettle.train.batches import LEAST
from fettle.train.files import write_atomic
from fettle.train.runs import find_device

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """The processes of a run, and which of them this is.

    Attributes:
        rank: Of this process; the first one writes files.
        size: Processes in all.
        local: Processes on this machine.
    """

    rank: int = 0
    size: int = 1
    local: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def machines(self) -> int:
        return self.size // self.local

    def told_by_first(self, make: Callable[[], T]) -> T:
        """Return what ``make`` returns in the first process."""
        if self.size == 1:
            return make()
        told: list[Any] = [make() if self.is_first else None]
        distributed.broadcast_object_list(told, src=0)
        value: T = told[0]
        return value

    def share_file(self, path: Path) -> None:
        """Give every machine the first process's file at ``path``, or none where it has none."""
        if self.machines == 1:
            return
        content = self.told_by_first(lambda: path.read_bytes() if path.exists() else None)
        if not self.is_first and self.rank % self.local == 0:
            path.unlink(missing_ok=True)
            if content is not None:
                write_atomic(path, lambda stream: stream.write(content))
        distributed.barrier()

    def check(self, dataset: Dataset, config: TrainConfig) -> None:
        """Refuse what cannot be shared.

        Raises:
            SpecError: If a batch cannot be split into equal shares.
            TrainError: If there are too few images.
        """
        if self.size == 1:
            return
        check_batch(config, self.size)
        for split in ("train", "val"):
            if (count := len(dataset.subset(split))) < LEAST * self.size:
                raise TrainError(f"{count} {split} images are too few for {self.size} processes: train in fewer.")

    def leave(self) -> None:
        """Part from the others, after the last thing that is done together."""
        if distributed.is_initialized():
            distributed.destroy_process_group()


def check_batch(config: TrainConfig, count: int) -> None:
    """Refuse a batch that ``count`` processes cannot split into equal shares.

    Raises:
        SpecError: If it is such a one.
    """
    if count > 1 and (config.batch_size % count or config.batch_size < LEAST * count):
        raise SpecError(
            f"`train.batch_size` is {config.batch_size}, which {count} processes share: set it to a multiple of "
            f"{count}, and at least {LEAST * count}."
        )


def join(config: TrainConfig) -> Team:
    """Return the team of this process, which waits for the others; outside of torchrun it is alone."""
    if not distributed.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        return Team()
    if not distributed.is_initialized():
        if find_device(config).type == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            distributed.init_process_group("cpu:gloo,cuda:nccl")
        else:
            distributed.init_process_group("gloo")
    return Team(distributed.get_rank(), distributed.get_world_size(), int(os.environ["LOCAL_WORLD_SIZE"]))


def average_statistics(*networks: nn.Module) -> None:
    """Replace what batch norms have seen in each process by what all have seen, the mean.

    A running mean is linear in the batches, so that this is what one process would have; so is the expectation of
    a running variance, which is that within a share.
    """
    for network in networks:
        for buffer in network.buffers():
            if buffer.is_floating_point():
                distributed.all_reduce(buffer)
                buffer /= distributed.get_world_size()


def processes(config: TrainConfig, *, default: int = 1) -> int:
    """Return in how many processes of this machine ``config`` wants to be trained.

    Args:
        config: ``trainer.devices`` says it.
        default: Where it does not.

    Raises:
        SpecError: If it is no number, or the machine has fewer GPUs.
    """
    wanted = config.trainer.get("devices", default)
    there = torch.cuda.device_count() if find_device(config).type == "cuda" else 0
    if wanted in ("auto", -1, "-1"):
        return max(there, 1)
    if isinstance(wanted, list) and len(wanted) == 1:
        return 1  # this very GPU
    if not str(wanted).isdigit() or int(wanted) < 1:
        raise SpecError(
            f"`train.trainer.devices` must be a number or auto, got {wanted!r}: CUDA_VISIBLE_DEVICES says which GPUs."
        )
    if there and int(wanted) > there:
        raise SpecError(
            f"`train.trainer.devices` (by default the `gpu` of the step's pod) is {wanted}, but {there} GPUs are seen "
            f"here: set it to {there}."
        )
    return int(wanted)


def alone(config: TrainConfig) -> TrainConfig:
    """Return ``config`` for one process: where many small trainings are compared, each is on one device."""
    trainer = {key: value for key, value in config.trainer.items() if key != "strategy"}
    if not isinstance(trainer.get("devices"), list):
        trainer.pop("devices", None)
    return config.model_copy(update={"trainer": trainer})
