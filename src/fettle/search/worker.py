"""A worker: it takes what is worth knowing next, and finds it out."""

import time
from collections.abc import Callable
from pathlib import Path

from fettle.search.policy import Policy
from fettle.search.stages import Stages
from fettle.search.trials import FULL, Trial
from fettle.search.whole import standings_of
from fettle.tune.claims import Claims

WAIT = 1.0  # seconds, while others work
FATAL = 2  # workers that died over the same trial: native libraries crash, and would again
Task = tuple[Trial, Callable[[Trial], str | None]]  # a trial, and its next stage


class Worker:
    """One of those that share a search.

    Args:
        stages: What trials go through.
        claims: Who works on what.
    """

    def __init__(self, stages: Stages, claims: Claims) -> None:
        self.stages, self.claims, self.notebook = stages, claims, stages.notebook

    def work(self) -> None:
        """Take what is worth most, until nothing fits into the time."""
        while True:
            with self.claims.exclusive():
                task, waits = self._claim()
            if task is not None:
                (trial, step), started = task, time.monotonic()
                try:
                    on = step(trial)
                finally:  # what is still there was left by a worker that died
                    self._claim_of(trial).unlink(missing_ok=True)
                if on is not None:
                    self.notebook.spend(on, time.monotonic() - started)
            elif waits:
                time.sleep(WAIT)
            else:
                return

    def _claim(self) -> tuple[Task | None, bool]:
        """Return what to go on with, claimed, and whether others are still at work where there is nothing."""
        policy = self.stages.policy
        task = self._choose(policy)
        if task is None:
            return None, any(self._is_taken(trial) for trial in policy.trials)
        trial, step = task
        dead = self._claimants(trial)
        self._claim_of(trial).write_text("\n".join((*dead, self.claims.name)))
        return (trial, step if len(dead) < FATAL else self._condemn), True

    def _choose(self, policy: Policy) -> Task | None:
        free = [trial for trial in policy.trials if not self._is_taken(trial) and trial.left is None]
        if trial := next((trial for trial in free if self._is_half_done(trial)), None):
            return trial, self.stages.first if trial.level == 0 else self.stages.finish
        if trial := policy.promising(free):
            return trial, self.stages.further
        if trial := policy.spare(free):
            return trial, self.stages.finish
        if policy.may_begin:
            return self.stages.begin(), self.stages.first
        return None

    def _claim_of(self, trial: Trial) -> Path:
        return self.notebook.place(trial.number) / "worker"

    def _is_half_done(self, trial: Trial) -> bool:
        """Return whether it lacks what a trial has to have: its first rung, or, trained in full, its forms."""
        return trial.level == 0 or (trial.level >= FULL and self.notebook.noted(standings_of(trial)) is None)

    def _claimants(self, trial: Trial) -> list[str]:
        """Return who took it up and did not come to an end; the last may still be alive."""
        try:
            return self._claim_of(trial).read_text().splitlines()
        except FileNotFoundError:
            return []

    def _is_taken(self, trial: Trial) -> bool:
        last = self._claimants(trial)[-1:]
        return last != [self.claims.name] and any(map(self.claims.is_alive, last))

    def _condemn(self, trial: Trial) -> str:
        return self.stages.leave(trial, f"{FATAL} processes died over it")
