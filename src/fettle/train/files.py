"""The files of a run that can be interrupted at any moment: each is written beside and renamed."""

import errno
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import safetensors.torch
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import nn
from typing_extensions import override

from fettle.errors import TrainError

LAST, BEST, FINAL, RUN = "last.ckpt", "best.safetensors", "final.safetensors", "run.json"


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that ``path`` holds the old content or the new one, whatever happens.

    Raises:
        TrainError: If the disk is full or the folder is not writable; ``path`` is as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch.save wraps what the stream raises
        partial.unlink(missing_ok=True)
        reason = os.strerror(errno.ENOSPC) if "write" in str(error) and not isinstance(error, OSError) else error
        raise TrainError(
            f"{path} could not be written ({reason}): free some space and run again, training goes on from the epoch "
            "before."
        ) from error


def write_json(path: Path, value: object) -> None:
    write_atomic(path, lambda stream: stream.write(json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"))


def write_rows(path: Path, rows: list[Mapping[str, Any]]) -> None:
    """Write JSON lines."""
    write_atomic(path, lambda stream: stream.write("".join(json.dumps(row) + "\n" for row in rows).encode()))


def save_weights(path: Path, model: nn.Module) -> None:
    """Write a state dict that :func:`fettle.models.weights.read_weights` reads."""
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_atomic(path, lambda stream: stream.write(safetensors.torch.save(state)))


def save(path: Path, state: Mapping[str, Any]) -> None:
    write_atomic(path, lambda stream: torch.save(state, stream))


def load(path: Path) -> dict[str, Any]:
    """Read tensors and plain values; nothing else is unpickled.

    Raises:
        TrainError: If the file is truncated or altered.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each have their own
        raise TrainError(f"{path} cannot be read: delete {path.parent} to train from the start.") from error
    return state


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints by :func:`save` and :func:`load`."""

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        save(Path(path), checkpoint)

    @override
    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load(Path(path))
