"""``search``: a recipe's only step, which finds the others by measuring."""

from typing import Annotated, Literal, Self

from pydantic import Field

from fettle.spec.base import Precision, Section

Lever = Literal["size", "depth", "width"]


class SearchConfig(Section):
    """A search for the fastest form of a network that keeps its accuracy on val.

    It ends with exported candidates, the fastest first, which are then validated, measured and judged like any other.
    """

    minutes: float = Field(30.0, gt=0)
    """Budget, over all calls: a search that was stopped goes on with what is left."""
    trials: int | None = Field(None, ge=1)
    """Begin no more than so many trainings of smaller networks, even if time is left; by default the time decides."""
    candidates: int = Field(4, ge=1, le=12)
    """How many exports it ends with."""
    max_drop: float | None = Field(None, ge=0, lt=1)
    """Largest loss of accuracy (mAP50, rank-1) on val that it aims at; by default that of ``gates``."""
    latency_ms: float | None = Field(None, gt=0)
    """Look for the best network that takes no longer at batch 1, instead of for the fastest that is good enough."""
    levers: list[Lever] = ["size", "depth", "width"]
    """What may become less: the pixels that the network looks at, its blocks, its channels."""
    precisions: list[Precision] = Field(["int8", "float32"], min_length=1)
    """In which a network is tried in each of ``runtimes``; OpenVINO computes float32 in bf16 where the CPU has it."""
    width_steps: list[Annotated[int, Field(ge=1)]] = Field([8, 16, 32], min_length=1)
    """Widths stay multiples of one of these."""
    ablation: bool = False
    """Tell what each lever brought: after the search its fastest good trial is made again without one lever at a time.
    That is up to seven trainings of a trial's first length, some of nearly the whole network; their time counts outside
    of `minutes`. The same search can be asked for it later."""
    seed: int = Field(0, ge=0)
    """Seed of the sampler."""

    def within(self, max_drop: float) -> Self:
        """Return this with ``max_drop`` where it says none of its own."""
        return self if self.max_drop is not None else self.model_copy(update={"max_drop": max_drop})
