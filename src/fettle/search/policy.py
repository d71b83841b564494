"""What is worth knowing next: how a search spends what is left of its time."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from fettle.search.budget import EXPLORE, LIGHTER, PROMOTE, counted
from fettle.search.forecast import Forecast
from fettle.search.forms import Form
from fettle.search.ground import Ground
from fettle.search.judge import Judge
from fettle.search.trials import BRIEF, FITTED, FULL, MAKING, ROUNDED, Notebook, Trial
from fettle.search.whole import Standing, read_standings
from fettle.spec import SearchConfig

FASTER = 0.95  # of the whole network's latency: what does not come below is not trained
DOUBT = 0.01  # of the score: what is expected to miss by more is hopeless
SPARE = 2  # trials that are good enough are made as they are, without a training in full
DEAR = 60.0  # a point of the score that is too much weighs as much as nearly half of the latency
SAFE = 50.0  # the same where what is wanted is certainty
SLOWED = 1.15  # times as long as all in INT8 takes what has layers in float, or is: less is not worth a try
ROUNDING = 2.0  # times as long as a plain one takes an epoch with rounding at most


@dataclass(frozen=True)
class Policy:
    """Decisions that follow from what is known when they are asked for; what is found out later needs another one.

    Attributes:
        config: What is looked for.
        ground: What the search started from.
        notebook: What it has found.
    """

    config: SearchConfig
    ground: Ground
    notebook: Notebook

    @cached_property
    def trials(self) -> list[Trial]:
        return self.notebook.trials()

    @cached_property
    def forecast(self) -> Forecast:
        return Forecast(self.ground, self.trials)

    @cached_property
    def standings(self) -> dict[str, tuple[Standing, ...]]:
        """Of what was made: owner -> its forms."""
        return read_standings(self.notebook)

    @cached_property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.ground.budget.seconds - counted(self.notebook.spent())

    @cached_property
    def finish(self) -> float:
        """Seconds that it takes to make a trial in all its forms: as it took with others, or with the whole network."""
        return self.notebook.typical(MAKING) or self.ground.finish

    @property
    def judge(self) -> Judge:
        return self.ground.judge

    @property
    def used(self) -> float:
        """Share of the budget that is spent; trials begin until :data:`EXPLORE`, by the clock or by their number."""
        spent = 1 - self.left / self.ground.budget.seconds
        return max(spent, EXPLORE) if self._are_enough else spent

    def promising(self, free: Sequence[Trial]) -> Trial | None:
        """Return the one of ``free`` that should be trained further, if it is time to.

        The fastest first that may still be good enough; in the last third of the time every other one is a safe one.
        """
        used, max_drop = self.used, self.judge.max_drop
        if used < EXPLORE:
            return None
        levels = (FITTED,) if used < PROMOTE and any(trial.level == FITTED for trial in free) else (FITTED, BRIEF)
        able = [trial for trial in free if trial.level in levels] or list(filter(self._is_unfinished, free))
        able = [trial for trial in able if self.epochs(trial) >= 1]
        if self.config.latency_ms is not None:
            reach = [trial for trial in able if trial.measured_ms <= self.config.latency_ms]
            return min(reach or able, key=self.forecast.drop, default=None)
        able = [trial for trial in able if trial.measured_ms <= self.sure_ms]
        best = self.best_ms
        if best < FASTER * self.ground.ms:  # beside what is good, nothing hopeless is worth a training
            able = [trial for trial in able if self.forecast.drop(trial) <= max_drop + DOUBT]
        within = [trial for trial in able if trial.measured_ms < best and self.forecast.drop(trial) <= max_drop]
        if within and (used < PROMOTE or len(self._full) % 2 == 0):
            return min(within, key=lambda trial: trial.measured_ms)
        # Val has few images: beside the fastest, one that is slower and better is worth having.
        return min(able, key=lambda trial: SAFE * self.forecast.drop(trial) + math.log(trial.measured_ms), default=None)

    def spare(self, free: Sequence[Trial]) -> Trial | None:
        """Return one of ``free`` that should be made as it is.

        Val has few images, and luck with them chooses what is trained in full: beside it, the front should have what
        was good enough before.
        """
        if self.used < EXPLORE or self.left < self.finish:
            return None
        return next(iter(self._spares(free)), None)

    @property
    def may_begin(self) -> bool:
        """Whether there is time for a new trial; late ones need time to be trained and made as well."""
        if self._are_enough:
            return False
        costs = [trial.rungs[0].seconds for trial in self.trials if trial.rungs]
        needed = median(costs or [self.ground.overhead]) + self.finish
        later = self.ground.budget.brief * LIGHTER * self.ground.budget.epoch + self.finish
        return self.left > (needed if self.used < EXPLORE else needed + later)

    def next_level(self, trial: Trial) -> int:
        """Return which training comes next; late in the search it is the last."""
        return min(trial.level + 1, FULL) if self.used < PROMOTE else FULL

    def epochs(self, trial: Trial) -> int:
        """Return how long a trial is trained next."""
        budget, epoch = self.ground.budget, self.forecast.epoch_seconds(trial)
        if self.next_level(trial) < FULL:
            return budget.brief
        return budget.last(self._left_beside(trial), epoch=epoch, overhead=self.finish, done=len(self._full))

    @cached_property
    def best_ms(self) -> float:
        """The latency of the fastest network that is good enough."""
        return min((form.ms for forms in self.standings.values() for form in self._good(forms)), default=math.inf)

    @cached_property
    def sure_ms(self) -> float:
        """The latency of the fastest trial that lost nothing: it will be good enough, unless its forms say no."""

        def lasts(trial: Trial) -> bool:
            made = self.standings.get(str(trial.number))
            return made is None or any(self._good(made))

        sure = filter(self.judge.lost_nothing, self.trials)
        return min((trial.measured_ms for trial in sure if lasts(trial)), default=math.inf)

    def is_overtaken(self, ms: float) -> bool:
        """Return whether a smaller network that is faster is good enough, where speed is what is wanted."""
        best = min(self.best_ms, self.sure_ms)
        return self.config.latency_ms is None and best < self.ground.ms and ms >= best

    def cost(self, trial: Trial) -> float:
        """Return what the sampler minimizes: it looks for trials at the limit of what may become good enough.

        That is the logarithm of the latency, and for what is beyond the limit as much as :data:`DEAR` says; where a
        latency is asked for, the other way round.
        """
        share, drop = math.log(trial.measured_ms / self.ground.ms), self.forecast.drop(trial)
        if self.config.latency_ms is None:
            return share + DEAR * max(drop - self.judge.max_drop, 0.0)
        return DEAR * drop + 10 * max(math.log(trial.measured_ms / self.config.latency_ms), 0.0)

    def wants_mending(self, trial: Trial, form: Form) -> bool:
        """Return whether layers of a form in INT8 may go back to float, should it lose too much: where the network is
        good enough, and the form so much faster than those in float that some of that will be left."""
        in_float = [ms for other, ms in trial.latencies.items() if not other.startswith("int8")]
        faster = SLOWED * self._plain_ms(trial, form) < min(in_float, default=math.inf)
        return faster and self.judge.of(trial) <= self.judge.max_drop

    def wants_rounding(self, trial: Trial, standings: Sequence[Standing]) -> bool:
        """Return whether INT8 costs a network that is good enough its place, and there is time to train it for INT8."""
        best = min((each.ms for each in self._good(standings)), default=math.inf)
        int8 = [
            each
            for each in standings
            if each.form.precision == "int8" and SLOWED * self._plain_ms(trial, each.form) < best
        ]
        if not int8 or trial.level == ROUNDED or self.judge.of(trial) > self.judge.max_drop:
            return False
        again = ROUNDING * self.ground.budget.brief * self.forecast.epoch_seconds(trial) + self.finish
        slowed = [each.kept and each.ms > SLOWED * self._plain_ms(trial, each.form) for each in self._good(int8)]
        return all(slowed) and self._left_beside(trial) > again

    def _plain_ms(self, trial: Trial, form: Form) -> float:
        """Return the latency with all layers in the precision of the form, as far as it was measured."""
        return trial.latencies.get(str(form), 0.0)

    def worth(self, standings: Sequence[Standing]) -> tuple[bool, float]:
        """Return what orders two lots of forms of the same network: good enough and fast; else accurate."""
        good = [each.ms for each in self._good(standings)]
        return bool(good), -min(good) if good else max(each.score for each in standings)

    def _good(self, standings: Sequence[Standing]) -> Iterator[Standing]:
        return filter(self.judge.is_good, standings)

    def _is_made(self, trial: Trial) -> bool:
        return str(trial.number) in self.standings

    def _spares(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return which of those that are good enough as they are should be made so, the best first.

        The fastest that lost nothing; where there is none, the one that lost least.
        """
        briefly = [trial for trial in self.trials if trial.level < FULL and self._is_made(trial)]
        known = [trial for trial in trials if trial.left is None and trial.level < FULL and not self._is_made(trial)]
        good = [trial for trial in known if trial.rungs and self.judge.of(trial) <= self.judge.max_drop]
        sure = [trial for trial in good if self.judge.lost_nothing(trial)]
        ranked = sorted(sure, key=lambda trial: trial.measured_ms) or sorted(good, key=self.judge.of)[:1]
        return ranked[: max(SPARE - len(briefly), 0)]

    def _left_beside(self, trial: Trial) -> float:
        """Return the seconds that are left for a trial, when what is good enough already has been made."""
        return self.left - self.finish * sum(each != trial for each in self._spares(self.trials))

    def _is_unfinished(self, trial: Trial) -> bool:
        """Return whether there was less time for its last training than was planned, and it is not good enough."""
        short = trial.level == FULL and trial.rungs[-1].epochs < self.ground.budget.full
        return short and not any(self._good(self.standings.get(str(trial.number), ())))

    @property
    def _are_enough(self) -> bool:
        return self.config.trials is not None and sum(bool(trial.rungs) for trial in self.trials) >= self.config.trials

    @property
    def _full(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.level >= FULL]
