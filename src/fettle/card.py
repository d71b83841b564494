"""Artifacts: directories with a card that says what they are and where they come from.

A card (``card.json``) names the artifact's kind, the digest of each file, the configuration that
made it, the cards of its parents (in short), and the versions and hardware. The chain of cards is
the lineage. The digest covers what the artifact *is* (kind, configuration, parents, files) and not
when or how fast it was made: the same work gives the same digest, which caching relies on.
"""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from fettle.errors import ArtifactError, FettleError
from fettle.hardware import passport, versions

CARD = "card.json"
SCHEMA = 1
# Files that tell of the making (times, curves with clock readings); kept, verified, not in the digest.
VOLATILE = ("log/",)


@dataclass(frozen=True)
class Card:
    """What an artifact is.

    Attributes:
        parents: By role, in short (:meth:`brief`), nested.
        started: When its making began: ISO time, UTC.
        created: When it was sealed.
        seconds: How long the making took in all.
    """

    kind: str
    name: str
    digest: str
    files: Mapping[str, str]
    config: Mapping[str, Any] = field(default_factory=dict)
    parents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    hardware: Mapping[str, Any] = field(default_factory=dict)
    started: str = ""
    created: str = ""
    seconds: float = 0.0
    schema: int = SCHEMA

    def brief(self) -> dict[str, Any]:
        """Return what a child records of this parent."""
        fields = ("kind", "name", "digest", "parents", "started", "seconds")
        return {name: getattr(self, name) for name in fields}


class Draft:
    """An artifact being written: put files under :attr:`path`, results into :attr:`summary`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.summary: dict[str, Any] = {}


@dataclass(frozen=True)
class Artifact:
    """A finished artifact directory and its card."""

    path: Path
    card: Card

    @classmethod
    def open(cls, path: Path, *, kind: str | None = None, verify: bool = True) -> Self:
        """Read the card at ``path`` and check the files against it.

        Args:
            path: Artifact directory.
            kind: Kind that the caller needs; ``None`` accepts any.
            verify: Recompute the digest of every file (seconds per gigabyte).

        Raises:
            ArtifactError: If the directory is no artifact, of another kind, incomplete or altered.
        """
        card = read_card(path)
        if kind is not None and card.kind != kind:
            raise ArtifactError(f"{path} is a {card.kind!r} artifact, not the {kind!r} that is needed here.")
        if verify:
            _verify(path, card)
        return cls(path, card)


@contextlib.contextmanager
def create(
    path: Path,
    *,
    kind: str,
    name: str,
    config: Mapping[str, Any] | None = None,
    parents: Mapping[str, Card] | None = None,
) -> Iterator[Draft]:
    """Write an artifact beside ``path``, seal it with a card, then rename it into place.

    Nothing appears at ``path`` unless the body succeeds. An existing artifact there is replaced.

    Raises:
        ArtifactError: If the disk is full or the place is not writable; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.partial")
    start = time.perf_counter()
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        draft = Draft(partial)
        yield draft
        seal(
            partial,
            kind=kind,
            name=name,
            config=config or {},
            parents={role: card.brief() for role, card in (parents or {}).items()},
            summary=draft.summary,
            seconds=round(time.perf_counter() - start, 3),
        )
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    except OSError as error:
        if isinstance(error, FettleError):
            raise
        raise ArtifactError(f"Could not write {path}: {error}. Free some space or choose another folder.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def seal(
    path: Path,
    *,
    kind: str,
    name: str,
    config: Mapping[str, Any],
    parents: Mapping[str, Mapping[str, Any]],
    summary: Mapping[str, Any],
    seconds: float,
) -> Card:
    """Write the card of the files that lie under ``path`` and return it."""
    files = {file.relative_to(path).as_posix(): digest_file(file) for file in _files(path)}
    config = json.loads(json.dumps(config, default=str))
    identity = {
        "schema": SCHEMA,
        "kind": kind,
        "config": config,
        "parents": {role: parent["digest"] for role, parent in parents.items()},
        "files": {file: digest for file, digest in files.items() if not file.startswith(VOLATILE)},
    }
    card = Card(
        kind=kind,
        name=name,
        digest=digest_json(identity),
        files=files,
        config=config,
        parents=parents,
        summary=summary,
        versions=versions(),
        hardware=passport().to_json(),
        started=_before(seconds),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=seconds,
    )
    (path / CARD).write_text(json.dumps(vars(card), indent=1, sort_keys=True, default=str) + "\n")
    return card


def read_card(path: Path) -> Card:
    """Read ``path/card.json``.

    Raises:
        ArtifactError: If it is missing, unreadable, or of an unknown schema.
    """
    file = path / CARD
    try:
        raw = json.loads(file.read_text())
        card = Card(**raw)
    except FileNotFoundError:
        raise ArtifactError(f"{path} is not a Fettle artifact: it has no {CARD}.") from None
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"{file} cannot be read ({error}): make the artifact again.") from None
    if card.schema != SCHEMA:
        raise ArtifactError(f"{file} has schema {card.schema}, this Fettle reads {SCHEMA}: make the artifact again.")
    return card


def set_seconds(path: Path, seconds: float) -> None:
    """Note how long the making of an artifact took in all, up to now; its digest is of what it is, and stays."""
    values = {**vars(read_card(path)), "started": _before(seconds), "seconds": round(seconds, 3)}
    fresh = path / f".{CARD}.partial"
    fresh.write_text(json.dumps(values, indent=1, sort_keys=True, default=str) + "\n")
    fresh.replace(path / CARD)


def digest_file(path: Path) -> str:
    """Return ``sha256:<hex>`` of a file."""
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def digest_json(value: object) -> str:
    """Return ``sha256:<hex>`` of a JSON value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _before(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file() and file != path / CARD)


def _verify(path: Path, card: Card) -> None:
    for name, digest in card.files.items():
        file = path / name
        if not file.is_file():
            raise ArtifactError(f"{file} is missing: the artifact is incomplete, make it again.")
        if digest_file(file) != digest:
            raise ArtifactError(
                f"{file} does not match its card: it was altered or truncated. Make the artifact again."
            )
