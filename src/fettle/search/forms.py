"""Forms: the runtimes and precisions in which a network could be served here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fettle.errors import ArtifactError, OptimizeError
from fettle.hardware import Passport
from fettle.optimize.support import RUNTIMES
from fettle.spec.base import Precision

UNFIT = (OptimizeError, ArtifactError)  # what says that a network cannot be made in a form, or not loaded in it


@dataclass(frozen=True, order=True)
class Form:
    """A runtime and a precision."""

    runtime: Any
    precision: Precision

    def __str__(self) -> str:
        return f"{self.precision}-{self.runtime}"


def possible_forms(runtimes: Sequence[str], precisions: Sequence[Precision], machine: Passport) -> list[Form]:
    """Return what the machine can do of all that is wanted."""
    return list(_possible(runtimes, precisions, machine))


def _possible(runtimes: Sequence[str], precisions: Sequence[Precision], machine: Passport) -> Iterator[Form]:
    for precision in precisions:
        if precision == "bf16" and not machine.native_bf16:
            continue
        for runtime in runtimes:
            if runtime in RUNTIMES[precision]:
                yield Form(runtime, precision)
