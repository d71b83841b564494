"""How time is divided."""

import pytest

from fettle.search.budget import BRIEFS, EXPLORE, LIGHTER, PROMOTE, plan_budget


def test_trainings_grow_with_the_budget_and_end_at_the_networks_own() -> None:
    budgets = [plan_budget(60 * minutes, epoch=10, most=25) for minutes in (1, 10, 30, 300)]
    briefs = [budget.brief for budget in budgets]
    assert briefs == sorted(briefs)
    assert (briefs[0], briefs[-1]) == (1, 8)
    assert {budget.full for budget in budgets} == {25}


def test_the_last_trainings_share_what_is_left() -> None:
    budget = plan_budget(100, epoch=4, most=60)
    left, done, lengths = 200.0, 0, []
    while (epochs := budget.last(left, epoch=2.0, overhead=4.0, done=done)) > 0:
        lengths.append(epochs)
        left -= 2.0 * epochs + 4.0
        done += 1
    assert left >= 0
    assert len(lengths) >= 3
    assert max(lengths[:3]) - min(lengths[:3]) <= 1


def test_two_long_trainings_are_better_than_three_short_ones() -> None:
    budget = plan_budget(100, epoch=4, most=40)
    assert budget.last(80, epoch=2.0, overhead=4.0, done=0) == 18, "not 11, of which there could be three"
    assert budget.last(50, epoch=2.0, overhead=4.0, done=0) == 23, "all of it"


@pytest.mark.parametrize("seconds", [60, 600, 1800])
def test_the_brief_trainings_fit_into_their_share(seconds: float) -> None:
    budget = plan_budget(seconds, epoch=5.0, most=50)
    assert budget.brief == 1 or BRIEFS * budget.brief * LIGHTER * budget.epoch <= (PROMOTE - EXPLORE) * seconds
