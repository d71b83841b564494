"""How a search divides its time: trials are fitted first, the promising ones trained briefly, the last ones in full.

Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943) by the clock: what counts is not how many trials, but
what they may cost.
"""

from collections.abc import Mapping
from dataclasses import dataclass

EXPLORE, PROMOTE = 0.4, 0.65  # shares of the budget until which trials begin, and until which they are trained briefly
BRIEFS, FINALS = 3, 3  # trainings, brief and in full, that lengths are made for
WORTH = 1 / 3  # of the network's own training: a brief one is not longer, one in full not shorter
LIGHTER = 0.3  # an epoch of a trial, as a share of one of the whole network, before it is known
ABLATION = "ablation"  # what is spent on it counts outside of the budget: it tells of a search, and finds nothing


@dataclass(frozen=True)
class Budget:
    """Seconds in all, and how long trials are trained.

    Attributes:
        seconds: In all.
        epoch: Seconds of an epoch of the whole network.
        brief: Epochs of a brief training.
        full: Epochs of one in full at most; it goes on where a brief one ended.
    """

    seconds: float
    epoch: float
    brief: int
    full: int

    def last(self, left: float, *, epoch: float, overhead: float, done: int) -> int:
        """Return how long the next network is trained in full, 0 where there is no time for it.

        Args:
            left: Seconds that are left.
            epoch: Seconds of an epoch of it.
            overhead: Seconds that it takes to make and measure it afterwards.
            done: Networks that were trained in full already.
        """
        possible = int((left - overhead) / epoch)
        finals = min(FINALS - done, int(possible / (WORTH * self.full)))
        planned = int((left / max(finals, 1) - overhead) / epoch)
        return max(min(max(planned, self.brief), self.full, possible), 0)


def plan_budget(seconds: float, *, epoch: float, most: int) -> Budget:
    """Return how long trials are trained.

    Args:
        seconds: Of the search.
        epoch: Seconds of the whole network's epoch.
        most: Epochs that the network itself was trained for: no training is longer.
    """
    brief = int((PROMOTE - EXPLORE) * seconds / BRIEFS / (LIGHTER * epoch))
    return Budget(seconds, epoch, max(min(brief, int(WORTH * most)), 1), most)


def counted(spent: Mapping[str, float]) -> float:
    """Return the seconds that count against the budget, of what was spent on what."""
    return sum(seconds for on, seconds in spent.items() if on != ABLATION)
