"""What a search found, as JSON: for the card, the report and the reader."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from fettle.evaluate import words
from fettle.search.budget import counted
from fettle.search.front import Choice
from fettle.search.judge import Judge
from fettle.search.search import Found
from fettle.search.trials import WHOLE, Rung, Trial
from fettle.search.whole import Standing
from fettle.spec import SearchConfig

SEARCH = "search.json"


def tell(found: Found, chosen: Sequence[Choice], config: SearchConfig) -> dict[str, Any]:
    """Return what ``search.json`` holds."""
    ground, trials = found.ground, found.trials
    whole = next(each for each in ground.whole if each.form == ground.form)
    return {
        "form": str(ground.form),
        "floor": ground.judge.floor,
        "reference": ground.judge.reference,
        "whole": [_standing(each, WHOLE, ground.judge) for each in ground.whole],
        "trials": [_trial(trial, found) for trial in trials],
        "front": [
            {**_standing(choice.standing, choice.owner, ground.judge), "number": n}
            for n, choice in enumerate(chosen, 1)
        ],
        "blocks": ground.blocks,
        "fixed": list(ground.fixed),
        "epochs": [ground.budget.brief, ground.budget.full],
        "spent": {name: round(seconds, 1) for name, seconds in found.spent.items()},
        "seconds": round(counted(found.spent), 1),
        "budget": ground.budget.seconds,
        "trials_begun": len(trials),
        "trials_left": sum(trial.left is not None for trial in trials),
        "prediction_error": prediction_error(trials, str(ground.form)),
        "ablation": found.ablation.to_json() if found.ablation else None,
        "sentence": _sentence(found, chosen, config, whole),
    }


def prediction_error(trials: Sequence[Trial], form: str) -> dict[str, float] | None:
    """Return how far expected latencies in ``form`` were from measured ones, as shares: median, ninth of ten."""
    measured = [(trial.predicted_ms, trial.latencies[form]) for trial in trials if form in trial.latencies]
    errors = [abs(expected / ms - 1) for expected, ms in measured]
    if not errors:
        return None
    return {"median": float(np.median(errors)), "p90": float(np.quantile(errors, 0.9))}


def _trial(trial: Trial, found: Found) -> dict[str, Any]:
    standings = found.standings.get(str(trial.number), ())
    return {
        **trial.to_json(),
        "rungs": [_rung(rung) for rung in trial.rungs],
        "measured_ms": trial.measured_ms,
        "score": trial.score if trial.rungs else None,
        "forms": [_standing(each, str(trial.number), found.ground.judge) for each in standings],
    }


def _rung(rung: Rung) -> dict[str, Any]:
    return {**asdict(rung), "loss": rung.loss if math.isfinite(rung.loss) else None}  # JSON knows no infinity


def _standing(standing: Standing, owner: str, judge: Judge) -> dict[str, Any]:
    return {"owner": owner, **standing.to_json(), "form": str(standing.form), "good": judge.is_good(standing)}


def _sentence(found: Found, chosen: Sequence[Choice], config: SearchConfig, whole: Standing) -> str:
    judge = found.ground.judge
    good = [choice for choice in chosen if judge.is_good(choice.standing)]
    wanted = config.latency_ms
    if wanted is not None and not any(choice.standing.ms <= wanted for choice in good):
        return _out_of_reach(found, config)
    best = min(good or chosen, key=lambda choice: choice.standing.ms)
    if best.owner == WHOLE:
        return (
            f"Nothing smaller keeps {words.percent(judge.floor)} on val and is faster: the whole network stays, in "
            f"{best.standing.form}, at {words.milliseconds(best.standing.ms)}."
        )
    return (
        f"Trial {best.owner} in {best.standing.form} takes {words.milliseconds(best.standing.ms)}, "
        f"{whole.ms / best.standing.ms:.2f}x as fast as the whole network in {whole.form}, with "
        f"{words.percent(best.standing.score)} on val against {words.percent(judge.reference)}."
    )


def _out_of_reach(found: Found, config: SearchConfig) -> str:
    judge = found.ground.judge
    made = [each for standings in found.standings.values() for each in standings]
    fastest = min(made, key=lambda each: each.ms)
    near = min((each for each in made if judge.is_good(each)), key=lambda each: each.ms, default=fastest)
    return (
        f"`search.latency_ms` {config.latency_ms:g} is out of reach at {words.percent(judge.floor)} on val: the "
        f"fastest that is good enough takes {words.milliseconds(near.ms)}; {words.milliseconds(fastest.ms)} costs "
        f"{100 * (judge.reference - fastest.score):.1f} points."
    )
