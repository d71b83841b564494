"""What a search knows, in a folder that outlives any worker: trials, their networks, the time that was spent."""

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Self

from torch import nn

from fettle.models.architecture import Architecture
from fettle.models.files import load_model, save_model
from fettle.search.shapes import Shape

TRIAL, NETWORK, SPENT = "trial.json", "network", "spent.jsonl"
RATE = 0.3  # of the learning rate that the network was trained at: a trial shall not forget what it knows
AGAIN = 0.5  # of that, for later trainings
LONG = 8  # epochs: a shorter training ends before it has made good what such a rate upsets, and has less of it
FITTED, BRIEF, FULL = 1, 2, 3  # what a trial has been through: reconstruction, some training, all the training it gets
ROUNDED = 4  # and what some have been through then: training with rounded weights and activations
MAKING = "forms of trials"  # what the time is spent on that it takes to make and time the files of one
WHOLE = "whole"  # what the network that is searched is called, where others have a number


def rate_of(epochs: int) -> float:
    """Return the learning rate of a first training, as a share of what the network was trained at."""
    return RATE * min(epochs / LONG, 1.0)


@dataclass(frozen=True)
class Rung:
    """A step in the making of a trial, and what came of it on val.

    Attributes:
        level: :data:`FITTED`, :data:`BRIEF`, :data:`FULL` or :data:`ROUNDED`.
        epochs: Of training; 0 where layers were fitted alone.
        score: In float.
        loss: In float.
        seconds: That it took.
    """

    level: int
    epochs: int
    score: float
    loss: float
    seconds: float


@dataclass(frozen=True)
class Trial:
    """A smaller network and how it fares.

    Attributes:
        number: In the order in which trials began.
        shape: What was asked for.
        predicted_ms: Latency that was expected in the form of the machine's table.
        latencies: Form -> latency in it, measured before it was trained: that of the whole network, divided by how many
            times as fast it is, interleaved with it.
        params: Share of the whole network's that are left.
        macs: The same of multiply-accumulates.
        rungs: Its fitting and its trainings, each from where the one before it ended.
        left: Why it was left, if it was.
    """

    number: int
    shape: Shape
    predicted_ms: float = 0.0
    latencies: Mapping[str, float] = field(default_factory=dict)
    params: float = 1.0
    macs: float = 1.0
    rungs: tuple[Rung, ...] = ()
    left: str | None = None

    @property
    def measured_ms(self) -> float:
        """Latency in the form in which it is the fastest; 0 before it is measured."""
        return min(self.latencies.values(), default=0.0)

    @property
    def score(self) -> float:
        """On val, as it is now."""
        return self.rungs[-1].score if self.rungs else 0.0

    @property
    def loss(self) -> float:
        """On val, as it is now."""
        return self.rungs[-1].loss if self.rungs else math.inf

    @property
    def level(self) -> int:
        """Of its last rung; 0 before the first."""
        return self.rungs[-1].level if self.rungs else 0

    @property
    def epochs(self) -> int:
        """Of all its trainings."""
        return sum(rung.epochs for rung in self.rungs)

    @property
    def seconds_an_epoch(self) -> float:
        """As it was trained; 0 before that."""
        return sum(rung.seconds for rung in self.rungs if rung.epochs) / max(self.epochs, 1)

    def rate(self, epochs: int) -> float:
        """Return the learning rate of the next training, of so many epochs.

        A later one shall not undo what an earlier one taught.
        """
        return rate_of(epochs) * (AGAIN if self.epochs else 1.0)

    def rung(self, level: int) -> Rung | None:
        """Return the rung of that level, if it has one."""
        return next((rung for rung in self.rungs if rung.level == level), None)

    def after(self, rung: Rung) -> Self:
        return replace(self, rungs=(*self.rungs, rung))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        rungs = tuple(Rung(**rung) for rung in raw["rungs"])
        return cls(**{**raw, "shape": Shape.from_json(raw["shape"]), "rungs": rungs})


class Notebook:
    """The folder of a search.

    Args:
        folder: Made if needed; shared by all workers.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def place(self, number: int) -> Path:
        return self.folder / f"trial-{number}"

    def trials(self) -> list[Trial]:
        """Return all trials that have been written down, in their order."""
        found = [Trial.from_json(json.loads(file.read_text())) for file in self.folder.glob(f"trial-*/{TRIAL}")]
        return sorted(found, key=lambda trial: trial.number)

    def save(self, trial: Trial, model: nn.Module | None = None, architecture: Architecture | None = None) -> None:
        """Write a trial down, and its network as it is now: the network first, so that no rung is without it."""
        place = self.place(trial.number)
        place.mkdir(exist_ok=True)
        if model is not None and architecture is not None:
            fresh = place / f".{NETWORK}"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            save_model(fresh, model, architecture)
            shutil.rmtree(self.network(trial), ignore_errors=True)
            fresh.rename(self.network(trial))
        write_json(place / TRIAL, trial.to_json())
        for old in set(place.glob(f"{NETWORK}-*")) - {self.network(trial)}:
            shutil.rmtree(old)

    def exports(self, owner: str) -> Path:
        """Return where the exports of a trial, by its number, or of the whole network lie: a folder a form."""
        return self.folder / (WHOLE if owner == WHOLE else f"trial-{owner}/forms")

    def network(self, trial: Trial) -> Path:
        """Return where the network of a trial lies after its last rung."""
        return self.place(trial.number) / f"{NETWORK}-{len(trial.rungs)}"

    def load(self, trial: Trial) -> tuple[nn.Module, Architecture]:
        return load_model(self.network(trial))

    def spend(self, on: str, seconds: float) -> None:
        """Note what something took."""
        with (self.folder / SPENT).open("a") as stream:
            stream.write(json.dumps({"on": on, "seconds": round(seconds, 3)}) + "\n")

    def spent(self) -> dict[str, float]:
        """Return the seconds that everything took so far, by what it was spent on."""
        found: dict[str, float] = {}
        for on, seconds in self._entries():
            found[on] = found.get(on, 0.0) + seconds
        return found

    def typical(self, on: str) -> float | None:
        """Return the seconds that something takes, if it was done before."""
        return median(known) if (known := [seconds for what, seconds in self._entries() if what == on]) else None

    def _entries(self) -> Iterator[tuple[str, float]]:
        file = self.folder / SPENT
        for line in file.read_text().splitlines() if file.exists() else ():
            entry = json.loads(line)
            yield entry["on"], entry["seconds"]

    def note(self, name: str, value: Any) -> None:
        write_json(self.folder / f"{name}.json", value)

    def noted(self, name: str) -> Any:
        """Return what was noted under that name, or ``None``."""
        file = self.folder / f"{name}.json"
        return json.loads(file.read_text()) if file.exists() else None

    def forget(self, name: str) -> None:
        """Remove what was noted under that name."""
        (self.folder / f"{name}.json").unlink(missing_ok=True)


def write_json(file: Path, value: Any) -> None:
    """Write beside, then rename."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(value, indent=1) + "\n")
    fresh.replace(file)
