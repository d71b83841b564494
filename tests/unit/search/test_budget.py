"""How time is divided."""

import pytest

from fettle.search.budget import plan_budget


def test_trainings_grow_with_the_budget_and_end_at_the_networks_own() -> None:
    lengths = [plan_budget(60 * minutes, epoch=10, overhead=5, most=25).epochs for minutes in (1, 10, 30, 300)]
    assert all(first <= second <= last for first, second, last in lengths)
    assert lengths == sorted(lengths)
    assert lengths[0][0] == 1
    assert lengths[-1] == (8, 16, 25)


def test_the_last_trainings_share_what_is_left() -> None:
    budget = plan_budget(100, epoch=4, overhead=1, most=60)
    left, done, lengths = 200.0, 0, []
    while (epochs := budget.last(left, epoch=2.0, overhead=4.0, done=done)) > 0:
        lengths.append(epochs)
        left -= 2.0 * epochs + 4.0
        done += 1
    assert left >= 0
    assert len(lengths) >= 3
    assert max(lengths[:3]) - min(lengths[:3]) <= 1


def test_two_long_trainings_are_better_than_three_short_ones() -> None:
    budget = plan_budget(100, epoch=4, overhead=1, most=40)
    assert budget.last(80, epoch=2.0, overhead=4.0, done=0) == 18, "not 11, of which there could be three"
    assert budget.last(50, epoch=2.0, overhead=4.0, done=0) == 23, "all of it"


def test_where_time_is_short_there_are_fewer_trials_and_not_shorter_ones() -> None:
    assert plan_budget(720, epoch=40, overhead=20, most=30).epochs[0] == 3
    assert plan_budget(300, epoch=40, overhead=20, most=30).epochs[0] == 2, "of four trials"


@pytest.mark.parametrize("seconds", [1, 60, 1800])
def test_the_trials_that_it_is_made_for_fit_into_half_of_it(seconds: float) -> None:
    budget = plan_budget(seconds, epoch=1.0, overhead=2.0, most=50)
    if budget.epochs[0] > 50 / 8:
        assert 14 * (2.0 + 0.2 * budget.epochs[0]) <= 0.5 * seconds
