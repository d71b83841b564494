"""What counts as good: what a network loses, by all that val tells of it."""

import math
from dataclasses import dataclass

from fettle.search.trials import Trial
from fettle.search.whole import Standing

LOSS_SAYS = 0.75  # of what is lost, where the loss measures the same as the score
WORSE = 1.1  # times the whole network's loss, of one that lost nothing
LEAST = 0.01  # share of errors: val may be too small to hold one


@dataclass(frozen=True)
class Judge:
    """Compares networks with the whole one.

    A score on val hangs on the few images that are right or wrong by a hair, that of the whole network as well: of 270
    images, a point is three. The cross-entropy hears them all.

    Attributes:
        reference: Score of its best form in float, that those of other forms are counted from.
        score: On val, in float, that those of other networks are counted from.
        loss: The same of the cross-entropy; infinite where a task has none.
        max_drop: What may be lost.
    """

    reference: float
    score: float
    loss: float
    max_drop: float

    @property
    def floor(self) -> float:
        """The least score that is good enough."""
        return self.reference - self.max_drop

    def drop(self, score: float, loss: float) -> float:
        """Return what a network has lost, by its score and its loss in float.

        By the loss, errors grow as it does.
        """
        by_score = self.score - score
        if not (0 < self.loss < math.inf and loss < math.inf):
            return by_score
        by_loss = max(1 - self.score, LEAST) * (loss / self.loss - 1)
        return by_score + LOSS_SAYS * (by_loss - by_score)

    def of(self, trial: Trial) -> float:
        """Return the drop of a trial, as it was last trained."""
        return self.drop(trial.score, trial.loss)

    def lost_nothing(self, trial: Trial) -> bool:
        """Return whether a trial is as good as the whole network."""
        return bool(trial.rungs) and self.of(trial) <= 0 and trial.loss <= WORSE * self.loss

    def is_good(self, standing: Standing) -> bool:
        """Return whether a network in this form is good enough: by the score of the form, and by its own drop."""
        return standing.score >= self.floor and standing.drop <= self.max_drop
