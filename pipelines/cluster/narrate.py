"""Say how a run on a cluster goes: a line a step when it ends, as a local run does."""

from collections.abc import Mapping, Sequence
from typing import TextIO

from pipelines.cluster.progress import ENDED, Step
from pipelines.narrate import INDENT, styles

WORDS = {"cached": "from the cache", "failed": "failed"}


class Teller:
    """Writes to ``stream``; what was said is not said again."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._known: dict[str, str] = {}
        self._bold, self._dim, self._off = styles(stream)

    def show(self, steps: Mapping[str, Step], *, over: bool) -> None:
        """Say which steps have started since the last time; or, if ``over``, which have ended."""
        ended = sum(state in ENDED for state in self._known.values())
        for step in steps.values():
            if (step.state in ENDED) != over or self._known.get(step.name, "waiting") == step.state:
                continue
            self._known[step.name] = step.state
            if step.state == "left out":
                continue  # for want of one that failed, which is said
            if step.state in ENDED:
                ended += 1
                words = " ".join(part for part in (WORDS.get(step.state, ""), _took(step)) if part)
                self._say(f"{self._count(ended, len(steps))} {self._bold}{step.name}{self._off}  {self._dim}{words}")
            else:
                self._say(f"{self._dim}{INDENT}{INDENT}{step.name} starts")

    def say(self, task: str, text: str) -> None:
        """Say what a step's pod meets."""
        self._say(f"{self._dim}{INDENT}{INDENT}{task}{': ' if task else ''}{text}")

    def quote(self, task: str, lines: Sequence[str]) -> None:
        """Show the last lines of a step's log."""
        if lines:
            self._say(f"{self._dim}{INDENT}{INDENT}the last lines of {task}:")
        for line in lines:
            self._say(f"{self._dim}{INDENT}{INDENT}  {line}")

    def _count(self, ended: int, total: int) -> str:
        return f"{self._dim}[{ended:>2}/{total}]{self._off}"

    def _say(self, text: str) -> None:
        self.stream.write(f"{text}{self._off}\n")
        self.stream.flush()


def _took(step: Step) -> str:
    if step.state == "cached" or not step.seconds:
        return ""
    minutes, seconds = divmod(round(step.seconds), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
