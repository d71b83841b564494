"""A model on disk: ``model.safetensors`` (weights) and ``model.json`` (architecture and pruning plan), no pickle.

An embedder's backbone and head also lie apart in ``checkpoints/``, as they were best and as they were last.
"""

import copy
import json
from pathlib import Path
from typing import Any, cast

from safetensors.torch import save_file
from torch import nn

from fettle.errors import ArtifactError, SpecError
from fettle.models.architecture import Architecture
from fettle.models.registry import build_model
from fettle.models.weights import WEIGHTS, read_weights

ARCHITECTURE, CHECKPOINTS = "model.json", "checkpoints"


def save_model(folder: Path, model: nn.Module, architecture: Architecture) -> None:
    """Write ``model`` into ``folder``.

    Args:
        folder: An existing folder.
        model: Network that :func:`build_model` makes of ``architecture``.
        architecture: With the plan, where the network was pruned.

    Raises:
        OSError: If the disk is full.
    """
    _save(model, folder / WEIGHTS)
    (folder / ARCHITECTURE).write_text(json.dumps(architecture.to_json(), indent=1, sort_keys=True) + "\n")


def save_parts(folder: Path, model: nn.Module, final: Path) -> None:
    """Write the model's ``parts`` into ``folder/checkpoints/``; a model that has none writes nothing.

    Args:
        folder: An existing folder.
        model: As it was best.
        final: File with its state after the last epoch.
    """
    if not hasattr(model, "parts"):
        return
    (folder / CHECKPOINTS).mkdir()
    last = copy.deepcopy(model)
    last.load_state_dict(read_weights(final))
    for epoch, network in cast(dict[str, Any], {"best": model, "final": last}).items():
        for name, part in network.parts.items():
            _save(part, folder / CHECKPOINTS / f"{epoch}-{name}.safetensors")


def _save(module: nn.Module, file: Path) -> None:
    save_file({name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}, file)


def load_model(folder: Path) -> tuple[nn.Module, Architecture]:
    """Read a model that :func:`save_model` wrote.

    Returns:
        The network in eval mode on the CPU, and its architecture.

    Raises:
        ArtifactError: If a file is missing, corrupt, or does not fit the other.
    """
    architecture = _read_architecture(folder / ARCHITECTURE)
    try:
        model = build_model(architecture)
        model.load_state_dict(read_weights(folder / WEIGHTS))
    except (SpecError, RuntimeError) as error:
        raise ArtifactError(f"{folder} cannot be loaded: its weights and {ARCHITECTURE} disagree ({error}).") from error
    return model.eval(), architecture


def _read_architecture(file: Path) -> Architecture:
    try:
        return Architecture.from_json(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"{file} cannot be read ({error}): make the model again.") from error
