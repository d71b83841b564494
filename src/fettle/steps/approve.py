"""Step ``approve``: a person's yes to a candidate, bound to the digests of its files."""

from collections.abc import Sequence
from pathlib import Path

from fettle import card
from fettle.card import Artifact
from fettle.evaluate import results
from fettle.evaluate.results import SELECTION, Selection
from fettle.publish import approve as sign
from fettle.steps.promote import SIGN_OFF, find_candidate, find_export


def approve(
    selection: Path, exports: Sequence[Path], out: Path, *, by: str, reason: str, candidate: str | None = None
) -> Artifact:
    """Record that a person lets a candidate be served.

    Args:
        selection: ``selection`` artifact.
        exports: ``export`` artifacts, the candidate's among them.
        out: Where the ``approval`` artifact is written.
        by: Who approves.
        reason: Why, in words; it is kept with the served version.
        candidate: Name in the selection; by default the winner.

    Raises:
        SpecError: If the person or the reason is missing.
        GateError: If there is no such candidate.
        ArtifactError: If the export is missing or was altered.
    """
    chosen = Artifact.open(selection, kind="selection")
    row = find_candidate(results.load(selection / SELECTION, Selection), candidate)
    export = find_export(exports, row)
    sign_off = sign(export, row.runtime, by=by, reason=reason, candidate=row.name)
    parents = {"selection": chosen.card, "export": card.read_card(export.path)}
    with card.create(
        out, kind="approval", name=row.name, config={"by": by, "reason": reason}, parents=parents
    ) as draft:
        results.save(draft.path / SIGN_OFF, sign_off)
        draft.summary.update(candidate=row.name, by=sign_off.by)
    return Artifact.open(out, kind="approval", verify=False)
