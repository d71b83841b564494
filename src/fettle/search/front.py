"""What a search hands over: the best of what it made."""

from collections.abc import Sequence
from dataclasses import dataclass

from fettle.search.search import Found
from fettle.search.trials import WHOLE
from fettle.search.whole import Standing
from fettle.spec import SearchConfig


@dataclass(frozen=True)
class Choice:
    """A network in a form: ``owner`` is the number of a trial, or :data:`WHOLE`."""

    owner: str
    standing: Standing


def choose(found: Found, config: SearchConfig) -> list[Choice]:
    """Return ``config.candidates`` of what was made, the fastest first.

    Those that are good enough come before those that are not; of these, networks in their fastest form before the same
    in others, which luck on val has chosen as one; of these, those that none beats before those that one does. Two are
    always among them: the whole network in its best form, which everything else has to be better than, and of what
    is good enough and faster the one that lost least, which test is likeliest to find good enough too.
    """
    made = [Choice(owner, each) for owner, standings in found.standings.items() for each in standings]

    def is_good(choice: Choice) -> bool:
        fast = config.latency_ms is None or choice.standing.ms <= config.latency_ms
        return fast and found.ground.judge.is_good(choice.standing)

    firsts = {choice.owner: choice for choice in sorted(made, key=lambda each: (is_good(each), -each.standing.ms))}

    def rank(choice: Choice) -> tuple[bool, bool, bool, float]:
        again = choice != firsts[choice.owner]
        return not is_good(choice), again, _is_beaten(choice, made), choice.standing.ms

    whole = (choice for choice in made if choice.owner == WHOLE)
    safe = min(whole, key=lambda choice: (not is_good(choice), choice.standing.ms))
    best = [choice for choice in sorted(made, key=rank) if choice != safe][: config.candidates - 1]
    faster = [choice for choice in firsts.values() if is_good(choice) and choice.standing.ms < safe.standing.ms]
    surest = min(faster, key=lambda choice: (choice.standing.drop, -choice.standing.score), default=safe)
    if best and surest not in (safe, *best):
        best[-1] = surest
    chosen = sorted([*best, safe], key=lambda choice: choice.standing.ms)
    return [*chosen, *[chosen[-1]] * (config.candidates - len(chosen))]  # a pipeline has as many candidates as it says


def _is_beaten(choice: Choice, others: Sequence[Choice]) -> bool:
    mine = choice.standing
    return any(
        other.standing.ms <= mine.ms and other.standing.score >= mine.score and other.standing != mine
        for other in others
    )
