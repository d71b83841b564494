"""What a trial goes through: it is shaped, timed and fitted; trained, briefly and in full; and made as it is served."""

import contextlib
import logging
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace

import optuna
from optuna.trial import TrialState
from torch import nn

from fettle.errors import OptimizeError
from fettle.evaluate import words
from fettle.evaluate.contestants import EngineContestant
from fettle.export.manifest import read_manifest
from fettle.models.architecture import Architecture
from fettle.search.finish import Finish
from fettle.search.forms import UNFIT
from fettle.search.ground import Ground
from fettle.search.layers import read_layers
from fettle.search.machine import learn
from fettle.search.policy import FASTER, Policy
from fettle.search.shapes import Shaped
from fettle.search.space import make_sampler
from fettle.search.subject import Subject
from fettle.search.table import read_table
from fettle.search.track import Track, race_all
from fettle.search.trials import FITTED, FULL, WHOLE, Notebook, Rung, Trial
from fettle.search.whole import standings_of
from fettle.spec import SearchConfig
from fettle.train.result import DivergedError

OVERTAKEN = "a faster one is good enough"
AIMS = 3  # at the latency that a trial is meant to have
TOO_FAR = 0.75  # of it
log = logging.getLogger("fettle")


class Stages:
    """Takes trials further, one stage at a time, and writes down what comes of it.

    A stage returns what its time was spent on, or ``None`` where it has noted that itself.

    Args:
        subject: What is searched.
        config: What is looked for.
        ground: What the search started from.
        notebook: What is known.
        track: Where networks are timed.
        study: Which levers are tried.
    """

    def __init__(
        self,
        subject: Subject,
        config: SearchConfig,
        ground: Ground,
        notebook: Notebook,
        track: Track,
        study: optuna.Study,
    ) -> None:
        self.subject, self.config, self.ground = subject, config, ground
        self.notebook, self.track, self.study = notebook, track, study
        export, runtime = read_manifest(notebook.exports(WHOLE) / str(ground.form)), ground.form.runtime
        self.whole: EngineContestant = track.enter_context(track.start("whole", export, runtime))
        self.making = Finish(subject, config, ground, notebook, track, self.whole)

    @property
    def policy(self) -> Policy:
        """By all that is known now."""
        return Policy(self.config, self.ground, self.notebook)

    def begin(self) -> Trial:
        """Return a new trial, as the study asks for it."""
        begun = len(self.study.trials)
        self.study.sampler = make_sampler(self.config.seed + 100_003 * begun)
        asked = self.study.ask(self.ground.space.distributions)
        trial = Trial(asked.number, self.ground.space.shape(asked.params))
        self.notebook.save(trial)
        return trial

    def first(self, trial: Trial) -> str:
        """Shape, measure, fit and score; or leave it."""
        ground = self.ground
        try:
            for _ in range(AIMS):
                shaped = ground.shaper.shape(trial.shape, read_table(ground.table))
                policy = self.policy
                if policy.is_overtaken(policy.forecast.least_ms(shaped.predicted * ground.ms)):
                    return self.leave(trial, OVERTAKEN)
                if twin := self._twin(trial, shaped, policy.trials):
                    on = self._give_up(trial, f"it is the network of trial {twin.number}")
                    self.study.tell(trial.number, policy.cost(twin))
                    return on
                trial = self._measure(trial, shaped)
                if not self._went_too_far(trial):
                    break
        except UNFIT as error:
            return self.leave(trial, str(error))
        if trial.measured_ms > FASTER * ground.ms:
            return self.leave(trial, "it is not faster than the whole network")
        if self.policy.is_overtaken(trial.measured_ms):
            return self.leave(trial, OVERTAKEN)
        started = time.monotonic()
        ground.shaper.reconstruct(shaped)
        try:
            trial = self._settle(trial, shaped.model, shaped.architecture, level=FITTED, epochs=0, started=started)
        except UNFIT as error:
            return self.leave(trial, str(error))
        self.study.tell(trial.number, self.policy.cost(trial))
        return "trials"

    def further(self, trial: Trial) -> str:
        """Train it as far as the time that is left says."""
        policy = self.policy
        level, epochs = policy.next_level(trial), policy.epochs(trial)
        trial = self._train(trial, *self.notebook.load(trial), level=level, epochs=epochs)
        if trial.left is not None:
            return self.leave(trial, trial.left)
        return "promising trials" if level < FULL else "trials in full"

    def finish(self, trial: Trial) -> str | None:
        """Make it in its forms."""
        try:
            self.making(trial)
        except OptimizeError as error:
            return self.leave(trial, str(error))
        return None

    def leave(self, trial: Trial, why: str) -> str:
        """Leave it; where it was not scored yet, the study hears of it."""
        on = self._give_up(trial, why)
        if trial.level == 0:
            self.study.tell(trial.number, state=TrialState.FAIL)
        return on

    def _give_up(self, trial: Trial, why: str) -> str:
        log.info("trial %d: left: %s", trial.number, why)
        self.notebook.save(replace(trial, left=why))
        return "trials left"

    def _twin(self, trial: Trial, shaped: Shaped, trials: Sequence[Trial]) -> Trial | None:
        """Return an earlier trial of the same network, as far as its size tells: other levers may lead there too."""
        mine = (trial.shape.input_size, *self._shares(shaped))
        fitted = (other for other in trials if other.rungs)
        return next((each for each in fitted if (each.shape.input_size, each.params, each.macs) == mine), None)

    def _shares(self, shaped: Shaped) -> tuple[float, float]:
        """Return the shares of the whole network's parameters and multiply-accumulates that are left."""
        whole = self.ground.cost
        return shaped.cost.params / whole.params, shaped.cost.macs / whole.macs

    def _went_too_far(self, trial: Trial) -> bool:
        """Return whether a network is far faster than it was meant to be, for which it gave up more than it had to; the
        table has learnt from it, and aims better."""
        return trial.latencies.get(str(self.ground.form), math.inf) < TOO_FAR * trial.predicted_ms

    def _measure(self, trial: Trial, shaped: Shaped) -> Trial:
        """Time a network beside the whole one; what its layers took goes into the table."""
        ground = self.ground
        with self.track.aside(), contextlib.ExitStack() as stack:
            running = self._start_all(shaped, stack)
            times = race_all(self.whole, running)
        params, macs = self._shares(shaped)
        latencies = {form: ground.ms / ratio.estimate for form, ratio in times.items()}
        trial = replace(trial, predicted_ms=shaped.predicted * ground.ms, latencies=latencies, params=params, macs=macs)
        log.info(
            "trial %d: %s: %.2f ms expected, %s, %.2fx as fast",
            trial.number,
            _told(trial),
            trial.predicted_ms,
            ", ".join(f"{ms:.2f} in {form}" for form, ms in trial.latencies.items()),
            ground.ms / trial.measured_ms,
        )
        return trial

    def _start_all(self, shaped: Shaped, stack: contextlib.ExitStack) -> dict[str, EngineContestant]:
        """Start a network in the forms that trials are made for, as far as it can be brought there."""
        ground, running, reason = self.ground, dict[str, EngineContestant](), None
        exported = self.track.export(shaped.model, shaped.architecture)
        for form in ground.forms:
            try:
                export = self.track.convert(exported, form)
                contestant = stack.enter_context(self.track.start(str(form), export, form.runtime))
            except UNFIT as error:
                log.info("%s: %s", form, error)
                reason = error
                continue
            running[str(form)] = contestant
            if form == ground.form:
                layers = read_layers(shaped.model, ground.shaper.example)
                learn(self.track, export, contestant, form, ground.table, layers=layers)
        if reason and not running:
            raise reason
        return running

    def _train(self, trial: Trial, model: nn.Module, architecture: Architecture, *, level: int, epochs: int) -> Trial:
        work, started = self.notebook.place(trial.number) / f"fit-{level}", time.monotonic()
        try:
            trained = self.subject.fit(model, architecture, epochs=epochs, rate=trial.rate(epochs), folder=work)
            trial = self._settle(trial, trained, architecture, level=level, epochs=epochs, started=started)
        except (DivergedError, *UNFIT) as error:
            trial = replace(trial, left=str(error))
        shutil.rmtree(work, ignore_errors=True)
        return trial

    def _settle(
        self, trial: Trial, model: nn.Module, architecture: Architecture, *, level: int, epochs: int, started: float
    ) -> Trial:
        """Score what was fitted or trained, and write it down; what has become worse is taken back.

        Raises:
            OptimizeError: If it cannot be exported.
        """
        found = self.track.score(model, architecture, self.subject.val, self.ground.form.runtime)
        rung = Rung(level, epochs, *found, seconds=round(time.monotonic() - started, 1))
        if rung.score < trial.score and rung.loss >= trial.loss:  # a score alone may be a matter of one image
            log.info("trial %d: %s after the training: it is taken back", trial.number, words.percent(rung.score))
            model, _ = self.notebook.load(trial)
            rung = replace(rung, score=trial.score, loss=trial.loss)
        trial = trial.after(rung)
        self.notebook.forget(standings_of(trial))  # of the network before
        self.notebook.save(trial, model, architecture)
        log.info(
            "trial %d: %s %s %s (%+.1f points), %.2f ms",
            trial.number,
            self.subject.measure,
            words.percent(trial.score),
            f"after {trial.epochs} epochs" if trial.epochs else "fitted",
            100 * (trial.score - self.ground.judge.score),
            trial.measured_ms,
        )
        return trial


def _told(trial: Trial) -> str:
    shape = trial.shape
    blocks = f", {shape.skipped} blocks skipped" if shape.skipped else ""
    return (
        f"{shape.input_size} px{blocks}, widths in steps of {shape.width_step} ({shape.spread}, {shape.importance}), "
        f"{words.percent(trial.params)} of the parameters"
    )
