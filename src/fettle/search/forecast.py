"""What is to be expected of a trial, by what others have shown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from fettle.search.ground import Ground
from fettle.search.judge import Judge
from fettle.search.trials import BRIEF, FITTED, Rung, Trial

KEPT = {FITTED: 1 / 3, BRIEF: 0.6}  # of what is lost by then, the share that a full training leaves, before it is known
ALIKE = 2.0  # times as much may others have lost, or trials may, for others to tell of them
FIXED = 0.1  # of an epoch of the whole network: what the least trial takes
MISJUDGED = 1.2  # by so much may the latency table be wrong


@dataclass(frozen=True)
class Forecast:
    """Expectations that are guesses at first, and learned from as soon as there is something to learn from.

    Attributes:
        ground: What the search started from.
        trials: That are known.
    """

    ground: Ground
    trials: Sequence[Trial]

    @property
    def judge(self) -> Judge:
        return self.ground.judge

    def drop(self, trial: Trial) -> float:
        """Return the drop that a full training would end with, by the share that it left of what others had lost.

        A share, not a sum: what has lost more wins more back. Only of those that had lost about as much: what lost
        little may win all of it back, and tells nothing of what is nearly ruined.
        """
        drops = [(self.judge.drop(rung.score, rung.loss), self.judge.of(other)) for other, rung in self._beyond(trial)]
        now = self.judge.of(trial)
        alike = [pair for pair in drops if pair[0] > self.judge.max_drop and now / ALIKE <= pair[0] <= now * ALIKE]
        kept = [min(max(last / early, 0.0), 1.0) for early, last in alike]
        return min(now, now * median([KEPT.get(trial.level, 1.0), *kept]))

    def least_ms(self, predicted: float) -> float:
        """Return the least latency that what the table expects may turn out to be, in the best of the forms."""
        asked = str(self.ground.form)
        measured = [trial for trial in self.trials if asked in trial.latencies]
        return predicted / MISJUDGED * min((each.measured_ms / each.latencies[asked] for each in measured), default=1.0)

    def epoch_seconds(self, trial: Trial) -> float:
        """Return how long an epoch of a trial takes: as it did; before that by its size, and by what others took.

        The slowest of them: a search can use what is left over, and not what is gone.
        """
        known = [other.seconds_an_epoch / self._guess(other) for other in self.trials if other.epochs]
        return trial.seconds_an_epoch or self._guess(trial) * max(known, default=1.0)

    def _guess(self, trial: Trial) -> float:
        return self.ground.budget.epoch * (FIXED + (1 - FIXED) * trial.macs)

    def _beyond(self, trial: Trial) -> Iterator[tuple[Trial, Rung]]:
        """Yield what has been trained further than ``trial``, and how it was when it was where ``trial`` is."""
        for other in self.trials:
            rung = other.rung(trial.level)
            if rung is not None and other.level > trial.level:
                yield other, rung
