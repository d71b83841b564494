"""How the members of an ensemble vote, and whether the vote pays."""

from typing import Any

from fettle.card import Artifact
from fettle.evaluate import words
from fettle.evaluate.results import Candidate, Selection
from fettle.export.ensemble import RUNTIME
from fettle.report.sources import Sources
from fettle.spec.ensemble import STUDENT


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell the weights, their log loss on val, what the votes bring and cost, and what the student keeps of it."""
    votes = [each for each in sources.of("export") if "weights" in each.card.summary]
    if not votes:
        return None
    members = list(votes[0].card.summary["weights"])
    return {
        "votes": votes,
        "members": members,
        "weights": {name: [f"{vote.card.summary['weights'][name]:.3f}" for vote in votes] for name in members},
        "losses": [f"{vote.card.summary['val_log_loss']:.4f}" for vote in votes],
        "sentences": _sentences(sources.selection, votes) if sources.selection else [],
    }


def _sentences(selection: Selection, votes: list[Artifact]) -> list[str]:
    rows = {row.name: row for row in selection.candidates}
    best = rows[selection.baseline]
    found = [rows[name] for vote in votes if (name := f"{vote.card.name}-{RUNTIME}") in rows]
    told = [_worth(row, best) for row in found]
    students = [row for row in selection.candidates if row.recipe == STUDENT]
    if found and students:
        student = min(students, key=lambda row: row.p50_ms)
        told.append(_kept(student, max(found, key=lambda row: row.score), best))
    return told


def _worth(row: Candidate, best: Candidate) -> str:
    assert row.difference
    verdict = "pays" if row.difference.interval.low > 0 else "does not pay"
    return (
        f"{row.name} {verdict} for its latency: {words.difference(row.difference)} against the best member on val, "
        f"{best.name}, and {words.speed(row.p50_ms / best.p50_ms)}."
    )


def _kept(student: Candidate, vote: Candidate, best: Candidate) -> str:
    """Say how much of the vote's gain the student keeps, where there is one."""
    ratio = words.speed(student.p50_ms / vote.p50_ms)
    if vote.score <= best.score:
        return f"{student.name} is {ratio} than {vote.name}, which gains nothing that it could keep."
    share = (student.score - best.score) / (vote.score - best.score)
    points = words.points_between(vote.score, student.score)
    return f"{student.name} keeps {share:.0%} of the gain of {vote.name} ({points}) and is {ratio}."
