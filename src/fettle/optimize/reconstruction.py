"""Least squares after pruning: what is left of a network learns to answer as the whole one did, without training.

The weights that pruning leaves were made for inputs that are gone. Layer by layer, from the first to the last, they are
fitted to what the same layer of the whole network answers (He, Zhang, Sun 2017, arXiv:1707.06168). The inputs are those
that the smaller network really gives, so that later layers make up for what earlier ones lost (Zhang et al. 2015,
arXiv:1505.06798); its batch norms are estimated anew on the way (Li et al. 2020, arXiv:2007.02491).
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from fettle.data import Dataset
from fettle.export.served import Normalize
from fettle.models.architecture import Architecture
from fettle.models.watch import call_watched
from fettle.optimize.channels import PRUNABLE, Kept

ROWS = 8192  # places of a layer's output that are looked at, over all images
RIDGE = 0.1  # of the inputs' mean power: how much the weights are held where they are
PIXELS, MOST = 128 * 224**2, 512  # of all images together, and how many there are at most
LEAST = 16  # images
BATCH = 32


@dataclass(frozen=True)
class _Target:
    """What a layer of the whole network answers, at some places of its output.

    Attributes:
        places: (P,) indices into all places of its output.
        shape: Images, rows and columns; of a linear layer, the leading dimensions.
        answers: (P, C).
    """

    places: torch.Tensor
    shape: torch.Size
    answers: torch.Tensor

    def inputs(self, layer: nn.Module, given: torch.Tensor) -> torch.Tensor:
        """Return what the layer multiplies there with its weights, (P, K)."""
        if isinstance(layer, nn.Linear):
            return given.flatten(0, -2)[self.places]
        assert isinstance(layer, nn.Conv2d)
        image, row, column = (torch.from_numpy(each) for each in np.unravel_index(self.places.numpy(), self.shape))
        assert not isinstance(layer.padding, str)
        (up, left), (down, right), (tall, broad) = layer.padding, layer.stride, layer.dilation
        padded = F.pad(given, (left, left, up, up))
        taps = [
            padded[image, :, row * down + y * tall, column * right + x * broad]
            for y in range(layer.kernel_size[0])
            for x in range(layer.kernel_size[1])
        ]
        return torch.stack(taps, 2).flatten(1)


Answers = Mapping[str, _Target]  # of layers, by name


def reconstruction_images(data: Dataset, architecture: Architecture) -> torch.Tensor:
    """Return training images, drawn once and always the same, as the network takes them: (N, 3, S, S) float32."""
    train = data.subset("train")
    count = min(max(PIXELS // architecture.image_size**2, LEAST), MOST, len(train))
    rows = np.sort(np.random.default_rng(0).permutation(len(train))[:count])
    images: torch.Tensor = Normalize(architecture.mean, architecture.std)(torch.from_numpy(train.images[rows]))
    return images


@torch.no_grad()
def reconstruct(model: nn.Module, answers: Answers, images: torch.Tensor, *, kept: Kept) -> None:
    """Fit the layers of ``model`` to the answers of those of the same name in the whole network, in place.

    Layers that are frozen, grouped or called otherwise than with one tensor stay as they are.

    Args:
        model: What is left of it after channels or blocks are gone, in eval mode; it stays so.
        answers: Of the whole network to these images: :func:`answers_of`.
        images: (N, 3, S, S) float32, normalized. All of them go through ``model`` at once.
        kept: Layer -> which of its outputs it still has; of layers that have lost some.
    """
    if len(images) < 2:  # a batch norm needs two
        return
    images = images.contiguous(memory_format=torch.channels_last)
    wanted = dict(answers)
    normed = any(isinstance(module, _BatchNorm) for module in model.modules())

    def fit(name: str, layer: nn.Module, given: torch.Tensor) -> None:
        if (target := wanted.pop(name, None)) is not None:  # what is called again is fitted once
            aims = target.answers[:, list(kept[name])] if name in kept else target.answers
            _fit(layer, target.inputs(layer, given), aims, moves=normed)

    with contextlib.ExitStack() as stack:
        for name, layer in model.named_modules():
            if not _can_be_fitted(layer) or not layer.weight.requires_grad:
                continue
            hook = layer.register_forward_pre_hook(lambda layer, inputs, name=name: fit(name, layer, inputs[0]))
            stack.callback(hook.remove)
        stack.enter_context(_estimating(model))
        model(images)


@torch.no_grad()
def answers_of(whole: nn.Module, images: torch.Tensor) -> Answers:
    """Return what the layers of a network answer to images, at some places of their outputs.

    Args:
        whole: In eval mode; it sees images of this size, with their statistics (:func:`estimate_norms`).
        images: (N, 3, S, S) float32, normalized.
    """
    generator = torch.Generator().manual_seed(0)
    batches = _batches(images.contiguous(memory_format=torch.channels_last))

    def targets(batch: torch.Tensor) -> dict[str, _Target]:
        found: dict[str, _Target] = {}

        def note(name: str, layer: nn.Module, given: tuple[Any, ...], answer: Any) -> None:
            if not _can_be_fitted(layer) or name in found or len(given) != 1:
                return
            last = answer.permute(0, 2, 3, 1) if isinstance(layer, nn.Conv2d) else answer
            rows = last.flatten(0, -2)
            places = torch.randperm(len(rows), generator=generator)[: ROWS // len(batches)]
            found[name] = _Target(places, last.shape[:-1], rows[places])

        call_watched(whole, batch, note)
        return found

    parts = [targets(batch) for batch in batches]
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


@torch.no_grad()
def estimate_norms(model: nn.Module, images: torch.Tensor) -> None:
    """Estimate the statistics of batch norms anew, in place; ``images`` as :func:`reconstruct` takes them."""
    if len(images) < 2:
        return
    with _estimating(model):
        for batch in _batches(images):
            model(batch)


def _batches(images: torch.Tensor) -> Sequence[torch.Tensor]:
    return images.tensor_split(max(len(images) // BATCH, 1))


def _can_be_fitted(layer: nn.Module) -> TypeGuard[nn.Conv2d | nn.Linear]:
    if not isinstance(layer, PRUNABLE):
        return False
    if isinstance(layer, nn.Linear):
        return True
    return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _joined(targets: Sequence[_Target]) -> _Target:
    """Return what there is of several batches as of one."""
    begins = np.cumsum([0, *(target.shape.numel() for target in targets)])
    places = [target.places + int(begin) for target, begin in zip(targets, begins[:-1], strict=True)]
    shape = torch.Size((sum(target.shape[0] for target in targets), *targets[0].shape[1:]))
    return _Target(torch.cat(places), shape, torch.cat([target.answers for target in targets]))


@contextlib.contextmanager
def _estimating(model: nn.Module) -> Iterator[None]:
    """Have batch norms take the mean of the statistics of what passes."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


def _fit(layer: nn.Module, inputs: torch.Tensor, answers: torch.Tensor, *, moves: bool) -> None:
    """Ridge regression towards the weights that are there.

    Args:
        layer: A convolution or a linear layer.
        inputs: (P, K).
        answers: (P, C).
        moves: Whether a constant may be missed: a batch norm takes it away.
    """
    assert isinstance(layer, PRUNABLE)
    weight = layer.weight.flatten(1)
    centre, aim = inputs.mean(0), answers.mean(0)
    if layer.bias is None and not moves:
        centre, aim = torch.zeros_like(centre), torch.zeros_like(aim)
    inputs = inputs - centre
    missing = answers - aim - inputs @ weight.T
    power = inputs.T @ inputs
    ridge = RIDGE * power.diagonal().mean()
    if not ridge > 0:  # nothing passes, or it is not finite
        return
    power.diagonal().add_(ridge)
    weight = weight + torch.cholesky_solve(inputs.T @ missing, torch.linalg.cholesky(power)).T
    layer.weight.copy_(weight.view_as(layer.weight))
    if layer.bias is not None:
        layer.bias.copy_(aim - weight @ centre)
