"""The artifacts that a report is made of, found by their kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from fettle.card import Artifact
from fettle.data import Dataset, open_dataset
from fettle.errors import SpecError
from fettle.evaluate import results
from fettle.evaluate.results import Benchmark, Candidate, Selection, Validation


@dataclass(frozen=True)
class Sources:
    """Opened artifacts; what is missing is ``None`` or absent, and so is what would be told of it.

    Attributes:
        artifacts: In the order given.
        skipped: Recipes that were left out, and why.
        began: When the run began, if this is of one.
    """

    artifacts: tuple[Artifact, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    began: datetime | None = None

    def of(self, kind: str) -> tuple[Artifact, ...]:
        """Return all artifacts of a kind, in the order given."""
        return tuple(each for each in self.artifacts if each.card.kind == kind)

    def one(self, kind: str) -> Artifact | None:
        """Return the last artifact of a kind."""
        return next(iter(reversed(self.of(kind))), None)

    @cached_property
    def dataset(self) -> Dataset | None:
        found = self.one("dataset")
        return open_dataset(found.path) if found else None

    @cached_property
    def selection(self) -> Selection | None:
        found = self.one("selection")
        return results.load(found.path / results.SELECTION, Selection) if found else None

    @cached_property
    def benchmark(self) -> Benchmark | None:
        found = self.one("benchmark")
        return results.load(found.path / results.BENCHMARK, Benchmark) if found else None

    @cached_property
    def validations(self) -> dict[str, tuple[Artifact, Validation]]:
        found = ((each, results.load(each.path / results.METRICS, Validation)) for each in self.of("validation"))
        return {validation.candidate: (artifact, validation) for artifact, validation in found}

    @property
    def winner(self) -> Candidate | None:
        name = self.selection.winner if self.selection else None
        return self.selection.candidate(name) if self.selection and name else None

    @property
    def baseline(self) -> Candidate | None:
        return self.selection.candidate(self.selection.baseline) if self.selection else None

    @property
    def contrasted(self) -> dict[str, tuple[Artifact, Validation]]:
        """The validations worth a closer look: the baseline's and the winner's; without a selection the first."""
        if self.selection:
            names = dict.fromkeys(name for name in (self.selection.baseline, self.selection.winner) if name)
        else:
            names = dict.fromkeys(list(self.validations)[:1])
        return {name: self.validations[name] for name in names if name in self.validations}


def open_sources(paths: Sequence[Path], skipped: Mapping[str, str], began: datetime | None = None) -> Sources:
    """Open and verify artifacts.

    Raises:
        SpecError: If there is none.
        ArtifactError: If one is missing, corrupt or altered.
    """
    if not paths:
        raise SpecError("`artifacts` is empty: name at least one artifact to report on.")
    return Sources(tuple(Artifact.open(path) for path in paths), skipped, began)
