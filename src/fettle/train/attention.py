"""Attention transfer: a student looks where its teacher looks (Zagoruyko and Komodakis 2017, arXiv:1612.03928)."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from fettle.errors import SpecError
from fettle.models.watch import call_watched


class AttentionTransfer:
    """How far a student's attention maps are from its teacher's, at the end of each resolution of the network.

    A map is the mean of the squares over the channels, so that a pruned network compares with a wider one as it is.

    Args:
        student: Whose modules are watched until :meth:`close`; stages are those whose names it shares with the teacher.
        teacher: Likewise.
        example_input: (1, 3, S, S), which finds the stages.

    Raises:
        SpecError: If they have no stage in common.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, *, example_input: torch.Tensor) -> None:
        known = {name for name, _ in student.named_modules()}
        self.stages = [name for name in find_stages(teacher, example_input) if name in known]
        if not self.stages:
            raise SpecError(
                "`distil.attention` compares modules of the same name, and student and teacher share none: set it to 0."
            )
        self.hooks: list[RemovableHandle] = []
        self.of_student, self.of_teacher = self._watch(student), self._watch(teacher)

    def __call__(self) -> torch.Tensor:
        """Return the distance at the last call of both, summed over the stages."""
        pairs = [_same_size(self.of_student[name], self.of_teacher[name].detach()) for name in self.stages]
        return torch.stack([(_unit(student) - _unit(teacher)).square().mean() for student, teacher in pairs]).sum()

    def close(self) -> None:
        """Watch no longer."""
        for hook in self.hooks:
            hook.remove()

    def _watch(self, model: nn.Module) -> Mapping[str, torch.Tensor]:
        maps: dict[str, torch.Tensor] = {}
        modules = dict(model.named_modules())
        self.hooks += [modules[name].register_forward_hook(partial(_keep, maps, name)) for name in self.stages]
        return maps


def find_stages(model: nn.Module, example_input: torch.Tensor) -> list[str]:
    """Return the last module at each resolution, from the finest to the coarsest."""
    last: dict[int, str] = {}

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        del module, inputs
        if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[-1] > 1:
            last[output.shape[-1]] = name

    call_watched(model, example_input, note)
    return list(last.values())


def _keep(maps: dict[str, torch.Tensor], name: str, module: nn.Module, _: Any, output: torch.Tensor) -> None:
    del module
    maps[name] = output.float().square().mean(1)


def _same_size(student: torch.Tensor, teacher: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    height, width = min(student.shape[-2:], teacher.shape[-2:])
    return F.adaptive_avg_pool2d(student, (height, width)), F.adaptive_avg_pool2d(teacher, (height, width))


def _unit(attention: torch.Tensor) -> torch.Tensor:
    return F.normalize(attention.flatten(1))
