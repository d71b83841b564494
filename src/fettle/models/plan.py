"""Plans: the widths of a network's layers, so that a pruned network is rebuilt without pickle.

A plan is ``{module name: {attribute: size}}``. :func:`read_plan` writes down what a network is; :func:`apply_plan`
gives a freshly built network the same shapes, and then its state dict loads strictly.
"""

from collections.abc import Callable
from math import prod

import torch
from torch import nn

from fettle.errors import ArtifactError
from fettle.models.architecture import Plan

Sizes = dict[str, int]
Shapes = dict[str, tuple[int, ...]]


def read_plan(model: nn.Module) -> dict[str, Sizes]:
    """Return the widths of every convolution, norm, linear layer and bare parameter vector.

    Args:
        model: Any network; its layers may be subclasses, such as timm's norms with an activation inside.
    """
    plan = {name: _read(module) for name, module in model.named_modules()}
    return {name: sizes for name, sizes in plan.items() if sizes}


def apply_plan(model: nn.Module, plan: Plan) -> None:
    """Give the layers of ``model`` the widths of ``plan``, in place; resized weights are uninitialized.

    Raises:
        ArtifactError: If the plan names a module or a size that ``model`` does not have.
    """
    modules = dict(model.named_modules())
    for name, sizes in plan.items():
        if name not in modules or not set(sizes) <= set(_read(modules[name])):
            raise ArtifactError(f"The pruning plan names {name!r} {dict(sizes)}, which this architecture has not.")
        if dict(sizes) != _read(modules[name]):
            _write(modules[name], dict(sizes))


def _read(module: nn.Module) -> Sizes:
    layer = _layer(module)
    if layer is None:
        return {name: len(value) for name, value in module.named_parameters(recurse=False) if value.ndim == 1}
    return {name: _as_int(getattr(module, name)) for name in _WIDTHS[layer]}


def _write(module: nn.Module, sizes: Sizes) -> None:
    layer = _layer(module)
    if layer is None:
        shapes: Shapes = {name: (size,) for name, size in sizes.items()}
    else:
        for name, size in sizes.items():
            setattr(module, name, size if isinstance(getattr(module, name), int) else (size,))
        shapes = _SHAPES[layer](module)
    for name, shape in shapes.items():
        _resize(module, name, shape)


def _resize(module: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    """Replace a parameter or buffer by an empty one, where it is there and of another shape."""
    old = getattr(module, name, None)
    if old is None or tuple(old.shape) == shape:
        return
    new = torch.empty(shape, dtype=old.dtype, device=old.device)
    setattr(module, name, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)


def _layer(module: nn.Module) -> type[nn.Module] | None:
    return next((layer for layer in _WIDTHS if isinstance(module, layer)), None)


def _as_int(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else prod(value)


def _conv_shapes(conv: nn.Conv2d) -> Shapes:
    kernel = tuple(conv.kernel_size)
    return {
        "weight": (conv.out_channels, conv.in_channels // conv.groups, *kernel),
        "bias": (conv.out_channels,),
    }


def _batch_norm_shapes(norm: nn.BatchNorm2d) -> Shapes:
    return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (norm.num_features,))


_WIDTHS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: ("in_channels", "out_channels", "groups"),
    nn.modules.batchnorm._BatchNorm: ("num_features",),
    nn.Linear: ("in_features", "out_features"),
    nn.LayerNorm: ("normalized_shape",),
}
_SHAPES: dict[type[nn.Module], Callable[..., Shapes]] = {
    nn.Conv2d: _conv_shapes,
    nn.modules.batchnorm._BatchNorm: _batch_norm_shapes,
    nn.Linear: lambda linear: {
        "weight": (linear.out_features, linear.in_features),
        "bias": (linear.out_features,),
    },
    nn.LayerNorm: lambda norm: dict.fromkeys(("weight", "bias"), tuple(norm.normalized_shape)),
}
