"""A model on disk: ``model.safetensors`` (weights) and ``model.json`` (architecture and pruning plan), no pickle."""

import json
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from fettle.errors import ArtifactError, SpecError
from fettle.models.architecture import Architecture
from fettle.models.registry import build_model
from fettle.models.weights import WEIGHTS, read_weights

ARCHITECTURE = "model.json"


def save_model(folder: Path, model: nn.Module, architecture: Architecture) -> None:
    """Write ``model`` into ``folder``.

    Args:
        folder: An existing folder.
        model: Network that :func:`build_model` makes of ``architecture``.
        architecture: With the plan, where the network was pruned.

    Raises:
        OSError: If the disk is full.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    (folder / ARCHITECTURE).write_text(json.dumps(architecture.to_json(), indent=1, sort_keys=True) + "\n")


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
