"""What lies in a model repository: the live version, the records of versions, the history."""

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from fettle.errors import ArtifactError
from fettle.evaluate.predictions import Thresholds
from fettle.publish.approval import SignOff
from fettle.publish.config import served_version
from fettle.storage import ConflictError, Store

CONFIG, RECORD, HISTORY = "config.pbtxt", "fettle.json", "history.json"


@dataclass(frozen=True)
class Record:
    """``fettle.json`` of a version: what it is and what it replaced.

    Attributes:
        digests: Of every other file in the version's folder, by name.
        previous: The version that was live before, to which a rollback returns.
        lineage: Brief of the export's card, with its parents.
        thresholds: Constants in the model's graph.
    """

    model: str
    version: int
    runtime: str
    digests: Mapping[str, str]
    sign_off: SignOff
    at: str
    previous: int | None = None
    lineage: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Thresholds = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """A line of the history; ``recovered`` stands for an event whose process died before it could write it."""

    at: str
    version: int
    action: Literal["promote", "rollback", "recovered"]
    by: str


@dataclass(frozen=True)
class Live:
    """The configuration that Triton serves, and the store's tag of it."""

    version: int
    text: str
    tag: str


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_live(store: Store, model: str) -> Live | None:
    """Return what is live; ``None`` where nothing was ever promoted.

    Raises:
        ArtifactError: If the configuration is not one that serves a single version.
    """
    key = f"{model}/{CONFIG}"
    tag = store.tag(key)
    if tag is None:
        return None
    text = store.read(key).decode(errors="replace")
    return Live(served_version(text, source=f"{store.url}/{key}"), text, tag)


def live_version(store: Store, model: str) -> int | None:
    """Return the version that Triton serves, ``None`` where there is none."""
    live = read_live(store, model)
    return live.version if live else None


def versions(store: Store, model: str) -> tuple[int, ...]:
    """Return the numbers that have a folder, complete or not."""
    names = {key.split("/")[1] for key in store.list(model)}
    return tuple(sorted(int(name) for name in names if name.isdecimal()))


def models(store: Store) -> tuple[str, ...]:
    """Return the models that have a live version."""
    keys = (key.split("/") for key in store.list())
    return tuple(parts[0] for parts in keys if len(parts) == 2 and parts[1] == CONFIG)


def read_record(store: Store, model: str, version: int) -> Record:
    """Read a version's record.

    Raises:
        ArtifactError: If it is malformed.
        StorageError: If there is none.
    """
    key = f"{model}/{version}/{RECORD}"
    try:
        return TypeAdapter(Record).validate_json(store.read(key))
    except ValidationError as error:
        raise ArtifactError(f"{store.url}/{key} is not a record of a version: {error}") from None


def verify_version(store: Store, record: Record) -> None:
    """Check every file of a version as the store gives it back.

    Raises:
        ArtifactError: If one is altered.
        StorageError: If one is missing.
    """
    for name, digest in record.digests.items():
        key = f"{record.model}/{record.version}/{name}"
        if store.digest(key) != digest:
            raise ArtifactError(f"{store.url}/{key} does not match its digest: promote the model as a new version.")


def commit(store: Store, model: str, text: str, *, replacing: Live | None) -> None:
    """Make ``text`` the live configuration, if nobody was faster.

    Raises:
        ConflictError: If another promotion or rollback came between.
    """
    key = f"{model}/{CONFIG}"
    before = store.modified(key) if replacing else 0.0
    try:
        store.write_if(key, text.encode(), tag=replacing.tag if replacing else None)
    except ConflictError:
        winner = live_version(store, model)
        raise ConflictError(
            f"{model}: somebody else made version {winner} live in the meantime. Look at it, then try again."
        ) from None
    # Triton compares whole seconds on S3: it would not see two writes within one.
    while replacing and int(after := store.modified(key)) <= int(before):
        time.sleep(1.05 - after % 1)
        live = read_live(store, model)
        if live is None or live.text != text:
            return  # overtaken after the commit: the newer one stays
        with contextlib.suppress(ConflictError):
            store.write_if(key, text.encode(), tag=live.tag)


def history(store: Store, model: str) -> tuple[Event, ...]:
    """Return what was promoted and rolled back, oldest first; the last event's version is the live one.

    Raises:
        ArtifactError: If the history is malformed.
    """
    key = f"{model}/{HISTORY}"
    try:
        events = TypeAdapter(tuple[Event, ...]).validate_json(store.read(key)) if store.exists(key) else ()
    except ValidationError:
        raise ArtifactError(f"{store.url}/{key} is damaged: restore it, or move it away to begin a new one.") from None
    live = live_version(store, model)
    if live is not None and (not events or events[-1].version != live):
        record = read_record(store, model, live)
        events = (*events, Event(record.at, live, "recovered", record.sign_off.by))
    return events


def log_event(store: Store, model: str, event: Event, *, before: tuple[Event, ...]) -> None:
    """Write the history ``before`` and one more event."""
    events = [asdict(each) for each in (*before, event)]
    store.write(f"{model}/{HISTORY}", json.dumps(events, indent=1).encode() + b"\n")
