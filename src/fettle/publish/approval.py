"""Approval: a gate report's or a person's yes to exactly these files."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from fettle.card import digest_file
from fettle.errors import ArtifactError, GateError, SpecError
from fettle.evaluate.results import Candidate
from fettle.export.manifest import Export

GATES = "gates"


@dataclass(frozen=True)
class SignOff:
    """Who approved what.

    Attributes:
        candidate: Name of what was approved.
        runtime: Runtime in which the files were judged.
        files: Digest of each file of the model by its name.
        by: A person's name, or ``gates``.
        reason: Why, in words; the gates' own words where they approved.
        at: ISO time, UTC.
    """

    candidate: str
    runtime: str
    files: Mapping[str, str]
    by: str
    reason: str
    at: str


def approve(export: Export, runtime: str, *, by: str, reason: str, candidate: str | None = None) -> SignOff:
    """Record a person's approval of the export's files in one runtime, whatever the gates said.

    Raises:
        SpecError: If the person or the reason is missing, or the export does not run there.
    """
    if not by.strip() or by == GATES:
        raise SpecError(f"`by` must name the person who approves, got {by!r}.")
    if not reason.strip():
        raise SpecError("`reason` must say why this model may be served.")
    return _sign(candidate or f"{export.recipe}-{runtime}", export, runtime, by=by.strip(), reason=reason.strip())


def approve_by_gates(export: Export, candidate: Candidate) -> SignOff:
    """Record the approval that a candidate's passed gates give.

    Raises:
        GateError: If no gate was asked, or one was not passed.
    """
    failed = [gate.words for gate in candidate.gates if not gate.passed]
    if failed:
        raise GateError(f"{candidate.name} does not pass its gates: {' '.join(failed)} A person may approve it still.")
    if not candidate.gates:
        raise GateError(f"{candidate.name} has no gate report: select it with gates, or let a person approve it.")
    words = " ".join(gate.words for gate in candidate.gates)
    return _sign(candidate.name, export, candidate.runtime, by=GATES, reason=words)


def check_sign_off(sign_off: SignOff | None, export: Export, runtime: str) -> SignOff:
    """Return the sign-off if it is for these very files in this runtime.

    Raises:
        GateError: If there is none, or it is for another runtime.
        ArtifactError: If a file was altered after the approval.
    """
    if sign_off is None:
        raise GateError(f"{export.path} is not approved: pass its gates, or let a person approve it.")
    if sign_off.runtime != runtime:
        raise GateError(f"{export.path} is approved for {sign_off.runtime}, not for {runtime}: approve it there.")
    digests = file_digests(export)
    for name in sorted({*digests, *sign_off.files}):
        if digests.get(name) != sign_off.files.get(name):
            raise ArtifactError(
                f"{export.path / name} was altered after {sign_off.by} approved it on {sign_off.at}: "
                "make and approve it again."
            )
    return sign_off


def file_digests(export: Export) -> dict[str, str]:
    """Return the digest of each file that a runtime needs.

    Raises:
        ArtifactError: If one is missing.
    """
    for file in export.files:
        if not file.is_file():
            raise ArtifactError(f"{file} is missing: export the model again.")
    return {file.relative_to(export.path).as_posix(): digest_file(file) for file in export.files}


def _sign(candidate: str, export: Export, runtime: str, *, by: str, reason: str) -> SignOff:
    if runtime not in export.runtimes:
        raise SpecError(f"{export.path} runs in {', '.join(export.runtimes)}, not in {runtime!r}.")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return SignOff(candidate, runtime, file_digests(export), by, reason, now)
