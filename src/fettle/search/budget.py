"""How a search divides its time: trials at low fidelity first, the promising ones longer, the last ones in full.

Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943) by the clock: what counts is not how many trials, but
what they may cost.
"""

from collections.abc import Mapping
from dataclasses import dataclass

EXPLORE, PROMOTE = 0.5, 0.7  # shares of the budget until which trials begin, and until which they are trained further
TRIALS, FINALS = 14, 3  # that the lengths of the trainings are made for
FEW = 4  # trials that are enough where time is short: a training that is too short tells nothing
WORTH = (1 / 8, 1 / 3)  # of the network's own training is what a first and a last one should have
LIGHTER = 0.2  # a trial's epoch, as a share of the whole network's
ABLATION = "ablation"  # what is spent on it counts outside of the budget: it tells of a search, and finds nothing


@dataclass(frozen=True)
class Budget:
    """Seconds in all, and the epochs of the three trainings of a trial.

    Attributes:
        seconds: In all.
        epochs: Of the first and the second training, and of the last at most; each goes on where another ended.
    """

    seconds: float
    epochs: tuple[int, int, int]

    def last(self, left: float, *, epoch: float, overhead: float, done: int) -> int:
        """Return how long the next network is trained in full, 0 where there is no time for it.

        Args:
            left: Seconds that are left.
            epoch: Seconds of an epoch of it.
            overhead: Seconds that it takes to make and measure it afterwards.
            done: Networks that were trained in full already.
        """
        possible = int((left - overhead) / epoch)
        finals = min(FINALS - done, int(possible / (WORTH[1] * self.epochs[2])))
        planned = int((left / max(finals, 1) - overhead) / epoch)
        return max(min(max(planned, self.epochs[1]), self.epochs[2], possible), 0)


def plan_budget(seconds: float, *, epoch: float, overhead: float, most: int) -> Budget:
    """Return how long trials are trained.

    Args:
        seconds: Of the search.
        epoch: Seconds of the whole network's epoch.
        overhead: Seconds that a trial takes beside its training.
        most: Epochs that the network itself was trained for: no training is longer.
    """
    many, few = ((EXPLORE * seconds / trials - overhead) / (LIGHTER * epoch) for trials in (TRIALS, FEW))
    shortest = int(min(max(many, min(few, WORTH[0] * most), 1), max(most // 3, 1)))
    return Budget(seconds, (shortest, min(2 * shortest, most), most))


def counted(spent: Mapping[str, float]) -> float:
    """Return the seconds that count against the budget, of what was spent on what."""
    return sum(seconds for on, seconds in spent.items() if on != ABLATION)
