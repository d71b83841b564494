"""The search: workers take what is most worth knowing next, until the time is over.

Latency is known first, for it needs no trained weights; accuracy comes by rising fidelity; what cannot be better than
what is known is left before it costs anything. All that was found is in a folder, so that a search which was stopped
goes on, and several workers share one.
"""

import logging
import math
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from torch import nn

from fettle.errors import OptimizeError
from fettle.evaluate import words
from fettle.evaluate.contestants import EngineContestant
from fettle.export.manifest import read_manifest
from fettle.hardware import passport
from fettle.models.architecture import Architecture
from fettle.runtimes.profile import profile
from fettle.search.budget import EXPLORE, PROMOTE
from fettle.search.ground import WHOLE, Ground, survey
from fettle.search.layers import read_layers
from fettle.search.shapes import Shaped
from fettle.search.space import make_sampler
from fettle.search.subject import Subject
from fettle.search.table import add_sample, read_table, sample_of
from fettle.search.track import Track, race, steady
from fettle.search.trials import Notebook, Trial
from fettle.search.whole import Standing, stand
from fettle.spec import SearchConfig
from fettle.train.exported_teacher import ExportedTeacher
from fettle.train.result import DivergedError
from fettle.tune.claims import Claims

FORMS = 2  # in which a network is made that was trained in full: the fastest ones
FASTER = 0.95  # of the whole network's latency: what does not come below is not trained
SLACK = (0.04, 0.02)  # what a score is expected to gain from the first and from the second training to the last
DEAR = 20.0  # a point of the score that is too much weighs as much as a fifth of the latency
FULL = 3  # trainings of a trial that was trained in full
SAFE = 50.0  # the same where what is wanted is certainty
MISJUDGED = 1.2  # by so much may the table be wrong
OVERTAKEN = "a faster one is known to be good enough"
WAIT = 1.0  # seconds, while others work
log = logging.getLogger("fettle")


@dataclass(frozen=True)
class Found:
    """What a search ends with.

    Attributes:
        ground: What it started from.
        trials: All, in their order.
        standings: Number of a trial that was trained in full -> its forms; :data:`WHOLE` -> those of the whole network.
        spent: Seconds, by what they were spent on.
        folder: Where exports lie: ``whole/FORM`` and ``trial-N/forms/FORM``.
    """

    ground: Ground
    trials: tuple[Trial, ...]
    standings: dict[str, tuple[Standing, ...]]
    spent: dict[str, float]
    folder: Path

    def export(self, owner: str, standing: Standing) -> Path:
        """Return where the export of a trial, or of the whole network, in a form lies."""
        place = WHOLE if owner == WHOLE else f"trial-{owner}/forms"
        return self.folder / place / str(standing.form)


def search(subject: Subject, config: SearchConfig, *, runtimes: Sequence[str], folder: Path, tables: Path) -> Found:
    """Search until the time is over.

    Args:
        subject: What is searched.
        config: How, and for how long.
        runtimes: That may serve it.
        folder: Of the search. Processes that are given the same one share the work and the time.
        tables: Folder of the latency tables; searches of other networks share it.

    Raises:
        OptimizeError: See :func:`fettle.search.ground.survey`.
        TrainError: If the search was interrupted; the same call goes on.
    """
    optuna.logging.disable_default_handler()
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    notebook, claims = Notebook(folder), Claims(folder / "workers")
    try:
        with Track(subject.calibration) as track:
            with claims.exclusive():  # the others wait for what all of them start from
                ground = survey(subject, config, runtimes=runtimes, notebook=notebook, tables=tables, track=track)
            subject = replace(subject, teacher=_teacher(subject, ground, folder))
            _Worker(subject, config, ground, notebook, claims, track).work()
        standings = _standings(notebook)
        return Found(ground, tuple(notebook.trials()), standings, notebook.spent(), folder)
    finally:
        claims.close()


def _teacher(subject: Subject, ground: Ground, folder: Path) -> nn.Module | None:
    """Return the whole network as it was exported, which answers several times as fast as it does in torch."""
    if subject.architecture.task != "classify":
        return None
    export = read_manifest(folder / WHOLE / str(ground.form))
    if export.runtime_options(ground.form.runtime):
        return None
    return ExportedTeacher(
        export.file, ground.form.runtime, subject.architecture, digest=f"{subject.digest} {ground.form}"
    )


def _standings(notebook: Notebook) -> dict[str, tuple[Standing, ...]]:
    noted = {WHOLE: notebook.noted(WHOLE)["standings"]}
    for trial in notebook.trials():
        if (forms := notebook.noted(f"trial-{trial.number}/standings")) is not None:
            noted[str(trial.number)] = forms
    return {owner: tuple(Standing.from_json(each) for each in forms) for owner, forms in noted.items()}


class _Worker:
    def __init__(
        self,
        subject: Subject,
        config: SearchConfig,
        ground: Ground,
        notebook: Notebook,
        claims: Claims,
        track: Track,
    ) -> None:
        self.subject, self.config, self.ground = subject, config, ground
        self.notebook, self.claims, self.track = notebook, claims, track
        self.max_drop = config.max_drop or 0.0
        self.study = optuna.create_study(
            study_name="fettle",
            storage=JournalStorage(JournalFileBackend(str(notebook.folder / "journal.log"))),
            direction="minimize",  # see _cost
            load_if_exists=True,
        )
        with claims.exclusive():
            if not self.study.trials:
                for params in ground.space.first():
                    self.study.enqueue_trial(params)
        form = ground.form
        export = track.convert(track.export(subject.model, subject.architecture), form)
        self.whole: EngineContestant = track.enter_context(track.start("whole", export, form.runtime))

    def work(self) -> None:
        """Take what is worth most, until nothing fits into the time."""
        while True:
            with self.claims.exclusive():
                job, waits = self._next()
            if job is not None:
                job()
            elif waits:
                time.sleep(WAIT)
            else:
                return

    # What comes next.

    def _next(self) -> tuple[Callable[[], None] | None, bool]:
        """Return the next job, claimed, and whether others are still at work where there is none."""
        left = self.ground.budget.seconds - sum(self.notebook.spent().values())
        trials = self.notebook.trials()
        busy = [trial for trial in trials if self._is_taken(trial)]
        free = [trial for trial in trials if not self._is_taken(trial) and trial.left is None]
        trial = next((trial for trial in free if trial.level == 0), None)  # that a worker died over
        if trial is None:
            trial = self._pick(free, left)
        if trial is None and self._may_begin(trials, left):
            trial = self._begin()
        if trial is None:
            return None, bool(busy)
        (self.notebook.place(trial.number) / "worker").write_text(self.claims.name)
        return (lambda: self._advance(trial, left)), True

    def _is_taken(self, trial: Trial) -> bool:
        file = self.notebook.place(trial.number) / "worker"
        return file.exists() and self.claims.is_alive(file.read_text()) and file.read_text() != self.claims.name

    def _pick(self, free: Sequence[Trial], left: float) -> Trial | None:
        """Return the trial that should be trained further, if it is time to."""
        used = 1 - left / self.ground.budget.seconds
        if used < EXPLORE:
            return None
        levels = (1,) if used < PROMOTE and any(trial.level == 1 for trial in free) else (1, 2)
        able = [trial for trial in free if trial.level in levels and self._affords(trial, left)]
        if self.config.latency_ms is not None:
            reach = [trial for trial in able if trial.measured_ms <= self.config.latency_ms]
            return min(reach or able, key=self._expected_drop, default=None)
        best = self._best_ms()
        hopeful = [trial for trial in able if trial.measured_ms < best]
        within = [trial for trial in hopeful if self._expected_drop(trial) <= self.max_drop]
        full = sum(trial.level >= FULL for trial in self.notebook.trials())
        if within and (used < PROMOTE or full % 2 == 0):
            return min(within, key=lambda trial: trial.measured_ms)
        # Val has few images: beside the fastest, one that is slower and better is worth having.
        return min(able, key=self._risk, default=None)

    def _risk(self, trial: Trial) -> float:
        return SAFE * self._expected_drop(trial) + math.log(trial.measured_ms)

    def _affords(self, trial: Trial, left: float) -> bool:
        return self._epochs(trial, left) >= 1

    def _epochs(self, trial: Trial, left: float) -> int:
        """Return how long a trial is trained next."""
        budget, level = self.ground.budget, self._next_level(trial, left)
        if level < FULL:
            return budget.epochs[level - 1]
        done = sum(other.level >= FULL for other in self.notebook.trials())
        overhead = FORMS * self.ground.overhead
        return budget.last(left, epoch=trial.seconds_an_epoch, overhead=overhead, done=done)

    def _next_level(self, trial: Trial, left: float) -> int:
        used = 1 - left / self.ground.budget.seconds
        return trial.level + 1 if used < PROMOTE else (FULL if trial.level else 1)

    def _may_begin(self, trials: Sequence[Trial], left: float) -> bool:
        costs = [sum(rung.seconds for rung in trial.rungs[:1]) for trial in trials if trial.rungs]
        needed = (median(costs) if costs else self.subject.epoch_seconds) + self.ground.overhead
        used = 1 - left / self.ground.budget.seconds
        return left > needed if used < EXPLORE else left > 3 * needed

    def _begin(self) -> Trial:
        begun = len(self.study.trials)
        self.study.sampler = make_sampler(self.config.seed + 100_003 * begun)
        asked = self.study.ask(self.ground.space.distributions)
        trial = Trial(asked.number, self.ground.space.shape(asked.params))
        self.notebook.save(trial)
        return trial

    def _expected_drop(self, trial: Trial) -> float:
        """Return the drop that a full training would end with, by what it brought to others."""
        if trial.level == 0:
            return 0.0
        full = [other for other in self.notebook.trials() if other.level >= FULL]
        before = [(other.score, other.score_at(trial.level)) for other in full]
        gains = [after - early for after, early in before if early is not None]
        prior = SLACK[min(trial.level, len(SLACK)) - 1]
        gain = median([*gains, prior]) if gains else prior
        return self.ground.reference - trial.score - gain

    def _best_ms(self) -> float:
        """Return the latency of the fastest network that is good enough."""
        floor = self.ground.reference - self.max_drop
        good = [each.ms for forms in _standings(self.notebook).values() for each in forms if each.score >= floor]
        return min(good, default=float("inf"))

    def _is_overtaken(self, ms: float) -> bool:
        """Return whether a smaller network that is faster is known to be good enough, where speed is what is wanted."""
        best = self._best_ms()
        return self.config.latency_ms is None and best < self.ground.ms and ms >= best

    # What is done.

    def _advance(self, trial: Trial, left: float) -> None:
        started = time.monotonic()
        try:
            if trial.level == 0:
                on = self._first(trial)
            else:
                on = self._further(trial, self._next_level(trial, left), self._epochs(trial, left))
        finally:
            (self.notebook.place(trial.number) / "worker").unlink(missing_ok=True)
        self.notebook.spend(on, time.monotonic() - started)

    def _first(self, trial: Trial) -> str:
        """Shape, measure, and train for a first time; or leave it."""
        ground = self.ground
        try:
            shaped = ground.shaper.shape(trial.shape, read_table(ground.table))
            if self._is_overtaken(shaped.predicted * ground.ms / MISJUDGED):
                return self._leave(trial, OVERTAKEN)
            trial = self._measure(trial, shaped)
        except OptimizeError as error:
            return self._leave(trial, str(error))
        if trial.measured_ms > FASTER * ground.ms:
            return self._leave(trial, "it is not faster than the whole network")
        if self._is_overtaken(trial.measured_ms):
            return self._leave(trial, OVERTAKEN)
        trial = self._train(trial, shaped.model, shaped.architecture, level=1, epochs=ground.budget.epochs[0])
        if trial.left is not None:
            return self._leave(trial, trial.left)
        self.study.tell(trial.number, self._cost(trial))
        return "trials"

    def _cost(self, trial: Trial) -> float:
        """Return what the sampler minimizes: it looks for trials at the limit of what may become good enough.

        That is the logarithm of the latency, and for what is beyond the limit as much as DEAR says; where a latency is
        asked for, the other way round.
        """
        share, drop = math.log(trial.measured_ms / self.ground.ms), self.ground.reference - trial.score
        if self.config.latency_ms is None:
            return share + DEAR * max(drop - self.max_drop - SLACK[0], 0.0)
        return DEAR * drop + 10 * max(math.log(trial.measured_ms / self.config.latency_ms), 0.0)

    def _leave(self, trial: Trial, why: str) -> str:
        log.info("trial %d: left: %s", trial.number, why)
        self.notebook.save(replace(trial, left=why))
        self.study.tell(trial.number, state=TrialState.FAIL)
        return "trials left"

    def _measure(self, trial: Trial, shaped: Shaped) -> Trial:
        """Time a network beside the whole one; what its layers took goes into the table."""
        ground, form = self.ground, self.ground.form
        export = self.track.convert(self.track.export(shaped.model, shaped.architecture), form)
        options = export.runtime_options(form.runtime)
        times = profile(form.runtime, export.file, self.track.images[:1], threads=passport().cores, options=options)
        with self.track.start("trial", export, form.runtime) as contestant:
            seconds, ratio = steady(contestant), race(self.whole, contestant)
        layers = read_layers(shaped.model, ground.shaper.example)
        add_sample(ground.table, sample_of(layers, times, seconds * 1e6))
        trial = replace(
            trial,
            predicted_ms=shaped.predicted * ground.ms,
            measured_ms=ground.ms / ratio.estimate,
            times=ratio.estimate,
            params=shaped.cost.params / ground.cost.params,
            macs=shaped.cost.macs / ground.cost.macs,
        )
        log.info(
            "trial %d: %s: %.2f ms expected, %.2f measured, %.2fx as fast",
            trial.number,
            _told(trial),
            trial.predicted_ms,
            trial.measured_ms,
            trial.times,
        )
        return trial

    def _train(self, trial: Trial, model: nn.Module, architecture: Architecture, *, level: int, epochs: int) -> Trial:
        work = self.notebook.place(trial.number) / f"fit-{level}"
        try:
            fitted, rung = self.subject.fit(
                model, architecture, level=level, epochs=epochs, lr=trial.shape.lr, folder=work
            )
        except DivergedError as error:
            return replace(trial, left=str(error))
        trial = trial.trained(rung)
        self.notebook.save(trial, fitted, architecture)
        shutil.rmtree(work, ignore_errors=True)
        log.info(
            "trial %d: %s %s after %d epochs (%+.1f points), %.2f ms",
            trial.number,
            self.subject.measure,
            words.percent(trial.score),
            sum(rung.epochs for rung in trial.rungs),
            100 * (trial.score - self.ground.reference),
            trial.measured_ms,
        )
        return trial

    def _further(self, trial: Trial, level: int, epochs: int) -> str:
        model, architecture = self.notebook.load(trial)
        trial = self._train(trial, model, architecture, level=level, epochs=epochs)
        if trial.left is not None:
            self.notebook.save(trial)
            return "trials left"
        if level < FULL:
            return "promising trials"
        self._finish(trial)
        return "trials in full"

    def _finish(self, trial: Trial) -> None:
        """Make the network in the fastest forms, score the files on val and time them."""
        forms = [standing.form for standing in self.ground.whole][:FORMS]
        forms = list(dict.fromkeys([self.ground.form, *forms]))[:FORMS]
        model, architecture = self.notebook.load(trial)
        standings = stand(
            self.track,
            self.track.export(model, architecture),
            forms,
            folder=self.notebook.place(trial.number) / "forms",
            calibration=self.subject.calibration,
            val=self.subject.val,
        )
        self.notebook.note(f"trial-{trial.number}/standings", [standing.to_json() for standing in standings])
        for standing in standings:
            log.info(
                "trial %d in full: %s %.2f ms, %s (%+.1f points)",
                trial.number,
                standing.form,
                standing.ms,
                words.percent(standing.score),
                100 * (standing.score - self.ground.reference),
            )


def _told(trial: Trial) -> str:
    shape = trial.shape
    blocks = f", {shape.skipped} blocks skipped" if shape.skipped else ""
    return (
        f"{shape.input_size} px{blocks}, widths in steps of {shape.width_step} ({shape.spread}, {shape.importance}), "
        f"{words.percent(trial.params)} of the parameters"
    )
