"""The end of a trial: the network in the fastest forms, as it will be served."""

import contextlib
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from fettle.errors import OptimizeError
from fettle.evaluate import words
from fettle.evaluate.contestants import EngineContestant
from fettle.models.architecture import Architecture
from fettle.search.ground import Ground
from fettle.search.policy import Policy
from fettle.search.subject import Subject
from fettle.search.track import Track
from fettle.search.trials import MAKING, ROUNDED, Notebook, Rung, Trial
from fettle.search.whole import Standing, stand, standings_of
from fettle.spec import SearchConfig
from fettle.train.result import DivergedError

log = logging.getLogger("fettle")


@dataclass(frozen=True)
class Finish:
    """Makes the files of networks that are trained no further, scores them on val and times them.

    Attributes:
        subject: What is searched.
        config: What is looked for.
        ground: What the search started from.
        notebook: Where files and figures are kept.
        track: Where forms are timed.
        whole: The whole network in the form of the ground, to time them beside.
    """

    subject: Subject
    config: SearchConfig
    ground: Ground
    notebook: Notebook
    track: Track
    whole: EngineContestant

    def __call__(self, trial: Trial) -> None:
        """Note the standings of ``trial``, and what they took.

        Raises:
            OptimizeError: If it can be brought to none of the forms.
        """
        model, architecture = self.notebook.load(trial)
        exports = self.notebook.exports(str(trial.number))
        with self._spending(MAKING):
            standings = self._stand(trial, model, architecture, exports)
        policy = self._policy
        if policy.wants_rounding(trial, standings):
            with self._spending("rounding"):
                standings = self._round(trial, model, architecture, standings, policy)
        self.notebook.note(standings_of(trial), [standing.to_json() for standing in standings])
        for standing in standings:
            log.info(
                "trial %d made: %s %.2f ms, %s (%+.1f points)",
                trial.number,
                standing.form,
                standing.ms,
                words.percent(standing.score),
                100 * (standing.score - self.ground.judge.reference),
            )

    @property
    def _policy(self) -> Policy:
        """By all that is known now."""
        return Policy(self.config, self.ground, self.notebook)

    @contextlib.contextmanager
    def _spending(self, on: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.notebook.spend(on, time.monotonic() - started)

    def _stand(self, trial: Trial, model: nn.Module, architecture: Architecture, folder: Path) -> Sequence[Standing]:
        judge, policy = self.ground.judge, self._policy
        with self.track.aside():
            standings = stand(
                self.track,
                self.track.export(model, architecture),
                self.ground.forms,
                subject=self.subject,
                folder=folder,
                max_drop=judge.max_drop,
                reference=judge.reference,
                mend=[form for form in self.ground.forms if policy.wants_mending(trial, form)],
                until=time.monotonic() + policy.left,
                beside=(self.whole, self.ground.ms),
            )
        return [replace(standing, drop=judge.of(trial)) for standing in standings]

    def _round(
        self, trial: Trial, model: nn.Module, architecture: Architecture, before: Sequence[Standing], policy: Policy
    ) -> Sequence[Standing]:
        """Train on with rounding, and return the standings of what is better: that, or what there was ``before``."""
        level, exports = ROUNDED, self.notebook.exports(str(trial.number))
        work = self.notebook.place(trial.number) / f"fit-{level}"
        fresh, epochs = exports.with_name("rounded"), self.ground.budget.brief
        try:
            started = time.monotonic()
            rate = trial.rate(epochs)
            learnt = self.subject.fit(model, architecture, epochs=epochs, rate=rate, folder=work, qat=True)
            seconds = round(time.monotonic() - started, 1)
            after = self._stand(trial, learnt, architecture, fresh)
        except (DivergedError, OptimizeError) as error:
            log.info("trial %d: training with rounding: %s", trial.number, error)
            shutil.rmtree(fresh, ignore_errors=True)
            return before
        finally:
            shutil.rmtree(work, ignore_errors=True)
        if policy.worth(after) <= policy.worth(before):
            shutil.rmtree(fresh)
            return before
        log.info("trial %d: better after %d epochs with rounding", trial.number, epochs)
        # Its drop stays that of the network before: what rounds is not scored in float.
        self.notebook.save(trial.after(Rung(level, epochs, trial.score, trial.loss, seconds)), learnt, architecture)
        shutil.rmtree(exports)
        fresh.rename(exports)
        return after
