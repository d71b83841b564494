"""Training: :func:`fettle.train.fit.fit` and the pieces it is made of.

``fit`` and ``FitResult`` are imported when they are first used: Lightning takes seconds.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fettle.train.fit import FitResult, fit

__all__ = ["FitResult", "fit"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fettle.train import fit as home

    return getattr(home, name)
