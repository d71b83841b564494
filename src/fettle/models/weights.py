"""Weights to start from, out of a safetensors file."""

import logging
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from fettle.card import Artifact
from fettle.errors import ArtifactError, SpecError

WEIGHTS = "model.safetensors"
log = logging.getLogger("fettle")


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """Read a state dict.

    Raises:
        ArtifactError: If the file is missing, truncated or no safetensors file.
    """
    try:
        state: dict[str, torch.Tensor] = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{file} cannot be read as safetensors ({error}): make it again.") from error
    return state


def load_weights(model: nn.Module, source: str) -> None:
    """Load the weights of ``source`` into ``model``, in place.

    The layers that depend on the number of classes may be of another one: they then keep their initialization, and the
    log says so. A file of one of the model's ``parts``, such as ``best-backbone.safetensors``, goes into that part.

    Args:
        model: Network of the architecture that the weights were saved from.
        source: Path of a ``.safetensors`` file or a model artifact.

    Raises:
        SpecError: If the path does not exist, or the weights belong to another architecture.
        ArtifactError: If the file is corrupt or the artifact was altered.
    """
    state = read_weights(_file(Path(source)))
    for name, part in getattr(model, "parts", {}).items():
        if part.state_dict().keys() == state.keys():
            log.info("%s has the %s alone: the rest starts from scratch.", source, name)
            model = part
    own = model.state_dict()
    other_shape = {name for name in own.keys() & state.keys() if own[name].shape != state[name].shape}
    if own.keys() != state.keys() or not other_shape <= _classifier(model):
        strange = sorted((own.keys() ^ state.keys()) | (other_shape - _classifier(model)))
        raise SpecError(
            f"`model.weights` {source} belongs to another architecture: {len(strange)} tensors are missing, unknown or "
            f"of another shape, such as {', '.join(strange[:3])}."
        )
    if other_shape:
        log.warning("%s has another number of classes: the layers of the classes start from scratch.", source)
    model.load_state_dict({**state, **{name: own[name] for name in other_shape}})


def _file(path: Path) -> Path:
    if not path.exists():
        raise SpecError(
            f"`model.weights` {path} does not exist: give none, the family's own (imagenet, coco), or the path of a "
            "file."
        )
    if path.is_file():
        return path
    return Artifact.open(path, kind="model").path / WEIGHTS


def _classifier(model: nn.Module) -> set[str]:
    """Return the names of what depends on the number of classes: the model's ``class_layers``, else its last linear."""
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    layers = getattr(model, "class_layers", linears[-1] if linears else None)
    if layers is None:
        return set()
    own = {id(value) for value in layers.state_dict(keep_vars=True).values()}
    return {name for name, value in model.state_dict(keep_vars=True).items() if id(value) in own}
