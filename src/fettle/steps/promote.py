"""Step ``promote``: the winner, or what a person approved, into the Triton model repository."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fettle import card
from fettle.card import Artifact, Card
from fettle.errors import ArtifactError, GateError
from fettle.evaluate import results
from fettle.evaluate.results import SELECTION, Candidate, Selection
from fettle.export import Export, open_export
from fettle.publish import SignOff, approve_by_gates
from fettle.publish import promote as publish
from fettle.spec import ServeConfig
from fettle.storage import open_store

log = logging.getLogger("fettle")
PROMOTION, SIGN_OFF, REFUSAL = "promotion.json", "sign-off.json", "refusal.json"


@dataclass(frozen=True)
class Approval:
    """What an ``approval`` artifact says, as a parameter carries it to where the artifact is not.

    Attributes:
        digest: Of the artifact.
        selection: Digest of the selection in which the person saw the candidate.
        sign_off: Who approved which files, and why.
    """

    digest: str
    selection: str
    sign_off: SignOff


def promote(
    selection: Path,
    exports: Sequence[Path],
    out: Path,
    *,
    serve: ServeConfig,
    name: str,
    sign_off: Path | Approval | None = None,
    refusal: Literal["raise", "record"] = "raise",
) -> Artifact:
    """Publish a candidate as a new version of ``name`` and make it the live one.

    Args:
        selection: ``selection`` artifact.
        exports: ``export`` artifacts, the candidate's among them.
        out: Where the ``promotion`` artifact is written.
        serve: Where to, and how Triton runs it.
        name: Model in the repository; ``serve.model_name`` beats it.
        sign_off: ``approval`` artifact of a person (see :func:`fettle.steps.approve.approve`), or what it says; it
            decides what is promoted. Without one, the winner goes if it passes its gates.
        refusal: ``record`` writes a ``refusal`` artifact where nothing passes the gates, so that a pipeline goes on
            to its report.

    Raises:
        GateError: If nothing passes the gates, or a person's approval is asked for and missing.
        ArtifactError: If the export is missing or was altered, or the approval is of another selection.
        ConflictError: If another promotion was faster.
        StorageError: If the repository fails.
    """
    chosen = Artifact.open(selection, kind="selection")
    table = results.load(selection / SELECTION, Selection)
    approval = read_approval(sign_off) if isinstance(sign_off, Path) else sign_off
    if approval:
        check_approval(approval, chosen.card)
    if approval is None and serve.approve == "manual":
        raise GateError("`serve.approve` is manual: approve a candidate first with `fettle approve`.")
    if approval is None and table.winner is None and refusal == "record":
        return refuse(out, chosen, reason=table.sentence)
    candidate = find_candidate(table, approval.sign_off.candidate if approval else None)
    export = find_export(exports, candidate)
    promotion = publish(
        open_store(serve.repository),
        export,
        candidate.runtime,
        model_name=serve.model_name or name,
        config=serve,
        sign_off=approval.sign_off if approval else approve_by_gates(export, candidate),
        thresholds=candidate.thresholds,
    )
    log.info("%s is version %d of %s", candidate.name, promotion.version, promotion.model)
    parents = {"selection": chosen.card, "export": card.read_card(export.path)}
    with card.create(out, kind="promotion", name=promotion.model, config=serve.to_json(), parents=parents) as draft:
        results.save(draft.path / PROMOTION, promotion)
        draft.summary.update(
            model=promotion.model,
            version=promotion.version,
            repository=promotion.repository,
            candidate=candidate.name,
            approved_by=promotion.sign_off.by,
            approval=approval.digest if approval else None,
        )
    return Artifact.open(out, kind="promotion", verify=False)


def refuse(out: Path, because: Artifact, *, reason: str) -> Artifact:
    """Write a ``refusal`` artifact: nothing was promoted, and why."""
    log.info("nothing is promoted: %s", reason)
    with card.create(out, kind="refusal", name="refusal", parents={because.card.kind: because.card}) as draft:
        (draft.path / REFUSAL).write_text(json.dumps({"reason": reason}) + "\n")
    return Artifact.open(out, kind="refusal", verify=False)


def read_approval(approval: Path) -> Approval:
    """Read an ``approval`` artifact.

    Raises:
        ArtifactError: If it is none, or was altered.
    """
    told = Artifact.open(approval, kind="approval").card
    sign_off = results.load(approval / SIGN_OFF, SignOff)
    return Approval(told.digest, told.parents["selection"]["digest"], sign_off)


def check_approval(approval: Approval, selection: Card) -> None:
    """Refuse an approval of what another run found.

    Raises:
        ArtifactError: If the person saw another selection.
    """
    if approval.selection != selection.digest:
        raise ArtifactError(
            f"{approval.sign_off.by} approved {approval.sign_off.candidate} of selection {approval.selection[7:19]}, "
            f"not of {selection.digest[7:19]}: the approval is of another run. Approve a candidate of this one."
        )


def find_candidate(table: Selection, name: str | None) -> Candidate:
    """Return the candidate of that name, by default the winner.

    Raises:
        GateError: If there is no winner, or no such candidate.
    """
    wanted = name or table.winner
    if wanted is None:
        raise GateError(f"Nothing can be promoted: {table.sentence} A person may still approve one by its name.")
    rows = {row.name: row for row in table.candidates}
    if wanted not in rows:
        raise GateError(f"There is no candidate {wanted!r}: the selection has {', '.join(rows)}.")
    return rows[wanted]


def find_export(exports: Sequence[Path], candidate: Candidate) -> Export:
    """Open the candidate's export.

    Raises:
        ArtifactError: If it is not among ``exports``, or was altered.
    """
    for path in exports:
        if card.read_card(path).digest == candidate.export:
            return open_export(path)
    raise ArtifactError(
        f"None of {', '.join(map(str, exports)) or 'no exports'} is the export that {candidate.name} was judged on: "
        "give that one, or validate and select again."
    )
