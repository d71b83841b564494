"""Shapes: what is done to a trained network to make it smaller, and the smaller network that comes of it."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import nn

from fettle.models.architecture import Architecture
from fettle.models.depth import skip_blocks
from fettle.models.input_size import look_at_smaller
from fettle.models.plan import read_plan
from fettle.optimize.channels import Batches, Kept, accumulate_gradients, output_layers, remove_channels
from fettle.optimize.groups import Group, find_groups
from fettle.optimize.pruning import Cost, measure
from fettle.optimize.reconstruction import Answers, answers_of, estimate_norms, reconstruct
from fettle.search.layers import Layer, read_layers
from fettle.search.table import Table
from fettle.search.widths import Spread, find_widths
from fettle.spec import PruneConfig
from fettle.spec.recipes import Importance

ANSWERS = 2  # sizes of images of which the whole network's answers are kept: of a ResNet-50 they are a gigabyte each
NO_LIMIT = 0.99  # ``ratio`` at which pruning leaves a layer as little as may be: widths are chosen here


@dataclass(frozen=True)
class Shape:
    """What one trial asks for.

    Attributes:
        input_size: Side of the images that the network looks at.
        skipped: How many blocks are left out, those that are missed least first.
        spread: Which channels go: the same share of every layer, or what is worth least for its time.
        importance: How channels are ranked.
        width_step: Widths are multiples of this.
        share: Of the whole network's latency that is aimed at, in the form that is searched for.
    """

    input_size: int
    skipped: int
    spread: Spread
    importance: Importance
    width_step: int
    share: float

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)


@dataclass(frozen=True)
class Shaped:
    """A smaller network, not trained again yet.

    Attributes:
        model: In eval mode, on the CPU.
        architecture: That rebuilds it.
        predicted: Share of the whole network's latency that it is expected to take.
        cost: Parameters and multiply-accumulates.
        kept: Which outputs its narrower layers still have.
    """

    model: nn.Module
    architecture: Architecture
    predicted: float
    cost: Cost
    kept: Kept


class Shaper:
    """Makes smaller networks of a trained one.

    Args:
        model: Trained network in its prunable form, in eval mode.
        architecture: Of it.
        blocks: Those that may be left out, those that are missed least first.
        batches: Makes the training images and labels that ``taylor`` needs; ``None`` where the task knows no loss.
        images: Makes the images that layers are fitted on, (N, 3, S, S) float32.
    """

    def __init__(
        self,
        model: nn.Module,
        architecture: Architecture,
        *,
        blocks: tuple[str, ...],
        batches: Callable[[], Batches] | None,
        images: Callable[[], torch.Tensor],
    ) -> None:
        self.model, self.architecture, self.blocks = model, architecture, blocks
        self.batches, self.images = batches, images
        self.answers: dict[int, Answers] = {}

    @cached_property
    def ranked(self) -> nn.Module:
        """A copy with the gradients of the loss, where the task knows one."""
        model = copy.deepcopy(self.model).eval()
        if self.batches is not None:
            accumulate_gradients(model, self.batches())
        return model

    def shape(self, shape: Shape, table: Table) -> Shaped:
        """Return the network that ``shape`` describes.

        Args:
            shape: What is asked for.
            table: Of the form that is searched for.

        Raises:
            OptimizeError: If the network cannot be pruned so.
        """
        model, architecture = self._coarse(shape)
        config = PruneConfig(importance=shape.importance, width_step=shape.width_step, ratio=NO_LIMIT)
        keep = output_layers(model, self.example)
        groups = find_groups(model, config, example_input=self.example, keep=keep)
        whole = table.network(self.layers.values())
        widths, expected = find_widths(
            groups,
            read_layers(model, self.example),
            table,
            microseconds=shape.share * whole,
            step=shape.width_step,
            spread=shape.spread,
            comparable=shape.importance == "taylor",
        )
        shares = {group.root: 1 - widths[group.root] / group.width for group in groups}
        model, architecture, kept = self._narrow(model, architecture, config, keep, shares)
        return Shaped(model, architecture, expected / whole, measure(model, self.example), kept)

    def reconstruct(self, shaped: Shaped) -> None:
        """Fit what is left to what the whole network makes of images of the same size, in place."""
        seen, own = shaped.architecture.input_size, self.architecture.input_size
        answers = self._answers(self.architecture.image_size if seen in (None, own) else seen)
        reconstruct(shaped.model, answers, self.images(), kept=shaped.kept)

    def _answers(self, size: int) -> Answers:
        """Return what the layers of the whole network make of images of a size, with their statistics."""
        if size not in self.answers:
            whole, _ = self._coarse(Shape(size, 0, "even", "group_norm", 1, 1.0))
            images = self.images()
            estimate_norms(whole, images)
            if len(self.answers) == ANSWERS:
                del self.answers[next(iter(self.answers))]
            self.answers[size] = answers_of(whole, images)
        return self.answers[size]

    def narrow(self, input_size: int, shares: Mapping[str, float]) -> tuple[nn.Module, Architecture]:
        """Return a network with some share of its groups gone, by their roots; it serves for its latency alone."""
        model, architecture = self._coarse(Shape(input_size, 0, "even", "group_norm", 8, 1.0))
        config = PruneConfig(importance="group_norm", width_step=8, ratio=NO_LIMIT)
        return self._narrow(model, architecture, config, output_layers(model, self.example), shares)[:2]

    def roots(self) -> list[str]:
        """Return the layers whose widths can be chosen."""
        return [group.root for group in self._groups]

    def fixed(self) -> tuple[str, ...]:
        """Return the layers whose widths stay as they are."""
        narrowed = {name for group in self._groups for name in group.outputs}
        return tuple(name for name in self.layers if name not in narrowed)

    @cached_property
    def _groups(self) -> list[Group]:
        keep, config = output_layers(self.model, self.example), PruneConfig(importance="group_norm")
        return find_groups(self.model, config, example_input=self.example, keep=keep)

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """Of the whole network."""
        return read_layers(self.model, self.example)

    @property
    def example(self) -> torch.Tensor:
        """An input of the network."""
        size = self.architecture.image_size
        return torch.zeros(1, 3, size, size)

    def _coarse(self, shape: Shape) -> tuple[nn.Module, Architecture]:
        """Leave out blocks and pixels; the channels stay."""
        source = self.ranked if shape.importance == "taylor" else self.model
        model = copy.deepcopy(source).eval()
        for new, old in zip(model.parameters(), source.parameters(), strict=True):
            new.grad = old.grad
        skipped = self.blocks[: shape.skipped]
        skip_blocks(model, skipped)
        architecture = replace(self.architecture, skipped=(*self.architecture.skipped, *skipped))
        if shape.input_size != architecture.image_size:
            look_at_smaller(model, image_size=architecture.image_size, input_size=shape.input_size)
            architecture = replace(architecture, input_size=shape.input_size)
        return model, architecture

    def _narrow(
        self,
        model: nn.Module,
        architecture: Architecture,
        config: PruneConfig,
        keep: list[str],
        shares: Mapping[str, float],
    ) -> tuple[nn.Module, Architecture, Kept]:
        gone = {root: share for root, share in shares.items() if share > 0}
        kept: Kept = {}
        if gone:
            model, kept = remove_channels(model, config, gone, example_input=self.example, keep=keep)
            architecture = replace(architecture, plan=read_plan(model))
        model.zero_grad(set_to_none=True)
        learnt = {name: value.requires_grad for name, value in self.model.named_parameters()}
        # Gradients were needed of those too that a family keeps as they are.
        for name, value in model.named_parameters():
            value.requires_grad_(learnt[name])
        return model.eval(), architecture, kept
