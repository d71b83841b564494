"""What each lever of a search brought: its fastest good trial, made again without one lever at a time.

Without a lever the others have to reach the same latency, as far as they can. Every network is trained for the epochs
of a brief training only, the trial's own shape too: their scores compare with one another, not with those of full
trainings.
"""

import logging
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from fettle.errors import OptimizeError
from fettle.evaluate import words
from fettle.evaluate.intervals import Interval
from fettle.evaluate.score import score
from fettle.export import Export
from fettle.export.manifest import read_manifest
from fettle.optimize.quantization import quantize
from fettle.search.budget import ABLATION
from fettle.search.forms import UNFIT, Form
from fettle.search.ground import Ground
from fettle.search.judge import Judge
from fettle.search.subject import Subject
from fettle.search.table import Table, read_table
from fettle.search.track import Track, race
from fettle.search.trials import WHOLE, Notebook, Trial, rate_of
from fettle.search.variants import FOUND, Variant, variants
from fettle.search.whole import Standing, hold, read_standings
from fettle.spec import QuantizeConfig, SearchConfig
from fettle.spec.recipes import DISTILLED
from fettle.train.result import DivergedError

log = logging.getLogger("fettle")


@dataclass(frozen=True)
class Row:
    """What came of a variant.

    Attributes:
        lever: That it did without.
        instead: What was done in its place.
        times: How many times as fast as the whole network is in the form that was searched for, interleaved with it.
        params: Share of the whole network's that are left.
        score: The headline score on val, of the exported file in its runtime, after a brief training.
        failed: Why it could not be made, if it could not.
    """

    lever: str
    instead: str
    times: Interval | None = None
    params: float | None = None
    score: float | None = None
    failed: str | None = None

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        return cls(**{**raw, "times": Interval(**raw["times"]) if raw["times"] else None})


@dataclass(frozen=True)
class Ablation:
    """What each lever brought to a trial.

    Attributes:
        trial: Its number.
        form: In which it was the fastest that is good enough.
        epochs: Of each training.
        rows: The trial as it was found, then without each lever that it used.
    """

    trial: int
    form: Form
    epochs: int
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "form": str(self.form)}


def ablate(subject: Subject, config: SearchConfig, ground: Ground, notebook: Notebook, track: Track) -> Ablation | None:
    """Make the fastest good trial again without one lever at a time; ``None`` where no trial is good enough.

    What is noted is not made again: a call that was stopped goes on with the next row.

    Args:
        subject: What was searched, with its teacher.
        config: What was looked for.
        ground: What the search started from.
        notebook: What it found, and where rows are noted.
        track: Where networks are timed.
    """
    best = best_trial(notebook, config, ground.judge)
    if best is None:
        log.info("ablation: left out, no trial is good enough")
        return None
    trial, standing = best
    ablator = _Ablator(subject, ground, notebook, track, trial, standing)
    wanted = variants(trial.shape, standing, ground.space, taught=_is_taught(subject))
    return Ablation(trial.number, standing.form, ablator.epochs, tuple(map(ablator.row, wanted)))


def best_trial(notebook: Notebook, config: SearchConfig, judge: Judge) -> tuple[Trial, Standing] | None:
    """Return the fastest trial that is good enough, in its fastest form."""
    trials = {str(trial.number): trial for trial in notebook.trials()}
    good = [
        (trials[owner], standing)
        for owner, standings in read_standings(notebook).items()
        for standing in standings
        if owner != WHOLE and judge.is_good(standing) and standing.ms <= (config.latency_ms or standing.ms)
    ]
    return min(good, key=lambda pair: pair[1].ms, default=None)


def _is_taught(subject: Subject) -> bool:
    return subject.distil is not None and subject.architecture.task in DISTILLED


@dataclass(frozen=True)
class _Ablator:
    """Makes the rows of a trial."""

    subject: Subject
    ground: Ground
    notebook: Notebook
    track: Track
    trial: Trial
    standing: Standing

    @property
    def epochs(self) -> int:
        return self.ground.budget.brief

    @cached_property
    def table(self) -> Table:
        """As it is now, for all rows: what a trial takes goes into it, and would change the next one's widths."""
        return read_table(self.ground.table)

    @cached_property
    def place(self) -> Path:
        """Where rows are noted. With another length of a brief training, scores would not compare."""
        place = self.notebook.folder / ABLATION / f"trial-{self.trial.number}-{self.standing.form}-{self.epochs}"
        place.mkdir(parents=True, exist_ok=True)
        return place

    def row(self, variant: Variant) -> Row:
        """Return a row, from the notebook if it is there."""
        name = f"{self.place.relative_to(self.notebook.folder)}/{variant.lever}"
        noted = self.notebook.noted(name)
        if noted is None:
            started = time.monotonic()
            row = self._make_once(variant, f"{name}-begun")
            self.notebook.note(name, noted := asdict(row))
            self.notebook.spend(ABLATION, time.monotonic() - started)
            log.info("ablation: %s: %s", row.instead, _told(row))
        return Row.from_json(noted)

    def _make_once(self, variant: Variant, mark: str) -> Row:
        """Make a row, unless a process died over it: native libraries crash, and would again."""
        if self.notebook.noted(mark):
            return Row(variant.lever, variant.instead, failed="the process that made it died")
        self.notebook.note(mark, True)
        try:
            return self._make(variant)
        finally:
            self.notebook.forget(mark)

    def _make(self, variant: Variant) -> Row:
        row = Row(variant.lever, variant.instead)
        try:
            exported, params = self._found() if variant.again else self._train(variant)
            export = self._bring(exported, variant)
        except (*UNFIT, DivergedError) as error:
            return replace(row, failed=str(error))
        ground, runtime = self.ground, variant.form.runtime
        whole = read_manifest(self.notebook.exports(WHOLE) / str(ground.form))
        with (
            self.track.start("whole", whole, ground.form.runtime) as before,
            self.track.start("variant", export, runtime) as after,
        ):
            times = race(before, after)
        return replace(row, times=times, params=params, score=score(export, self.subject.val, runtime))

    def _train(self, variant: Variant) -> tuple[Export, float]:
        """Return the float export after a brief training, and its share of the parameters."""
        shaped = self.ground.shaper.shape(variant.shape, self.table)
        if variant.fitted:
            self.ground.shaper.reconstruct(shaped)
        learner = self.subject if variant.taught else replace(self.subject, distil=None)
        work = self.place / f"fit-{variant.lever}"
        rate = rate_of(self.epochs)
        model = learner.fit(shaped.model, shaped.architecture, epochs=self.epochs, rate=rate, folder=work)
        exported = self.track.export(model, shaped.architecture)
        if variant.lever == FOUND:
            self._keep(exported)
        shutil.rmtree(work, ignore_errors=True)
        return exported, shaped.cost.params / self.ground.cost.params

    def _keep(self, exported: Export) -> None:
        """Keep the network of the first row for those in other forms, should the search be stopped before them."""
        exported.save()
        shutil.rmtree(self.place / FOUND, ignore_errors=True)
        shutil.copytree(exported.path, self.place / FOUND)

    def _found(self) -> tuple[Export, float]:
        row = self.notebook.noted(f"{self.place.relative_to(self.notebook.folder)}/{FOUND}")
        if row["failed"]:
            raise OptimizeError(row["failed"])
        return read_manifest(self.place / FOUND), row["params"]

    def _bring(self, exported: Export, variant: Variant) -> Export:
        """Return the export in the form of the variant, made as the search makes it."""
        form, folder = variant.form, Path(tempfile.mkdtemp(dir=self.track.folder))
        if variant.mixed:
            return hold(exported, form, self.subject, folder, self.ground.judge.max_drop).export
        config = QuantizeConfig(precision=form.precision)
        return quantize(exported, folder, self.subject.calibration, config=config, runtime=form.runtime)


def _told(row: Row) -> str:
    if row.times is None or row.score is None:
        return row.failed or ""
    return f"{row.times.estimate:.2f}x as fast as the whole network, {words.percent(row.score)}"
