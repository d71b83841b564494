"""Promotion: an approved export becomes a new version of a served model."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

from fettle.card import Card, read_card
from fettle.export.manifest import Export
from fettle.publish.approval import SignOff, check_sign_off
from fettle.publish.config import LABELS, check_name, config_of
from fettle.publish.repository import (
    CONFIG,
    RECORD,
    Event,
    Live,
    Record,
    commit,
    history,
    log_event,
    now,
    read_live,
    read_record,
    verify_version,
    versions,
)
from fettle.spec.serve import ServeConfig
from fettle.storage import ConflictError, Store

ATTEMPTS = 20


@dataclass(frozen=True)
class Promotion:
    """``promotion.json``: where the model went.

    Attributes:
        repository: URL of the model repository.
        digests: Of each file of the version, by name.
        export: Digest of the export's card.
        created: ``False`` if these very files were live already, so that no version was made.
        previous: The version that was live before.
    """

    repository: str
    model: str
    version: int
    runtime: str
    digests: Mapping[str, str]
    sign_off: SignOff
    export: str
    created: bool = True
    previous: int | None = None


def promote(
    store: Store,
    export: Export,
    runtime: str,
    *,
    model_name: str,
    config: ServeConfig,
    sign_off: SignOff | None,
) -> Promotion:
    """Publish ``export`` as a new version and make it the live one.

    The version's number is claimed, its files are uploaded and read back; then one conditional write of
    ``config.pbtxt`` is the commit. Until then, whatever happens, Triton serves what it served before. Triton
    notices at the next explicit load.

    Raises:
        GateError: If the export is not approved for ``runtime``.
        ArtifactError: If a file was altered after its approval or on its way.
        ConflictError: If somebody else's promotion was faster.
        StorageError: If the store fails.
    """
    candidate = _Candidate(export, runtime, check_name(model_name), config, check_sign_off(sign_off, export, runtime))
    live = read_live(store, model_name)
    if live and (record := _served_already(store, candidate, live)):
        return _promotion(store, candidate, record, created=False)
    record = _claim(store, candidate, live)
    _upload(store, candidate, record)
    verify_version(store, record)
    before = history(store, model_name)
    commit(store, model_name, candidate.texts(record.version)[CONFIG].decode(), replacing=live)
    log_event(store, model_name, Event(record.at, record.version, "promote", record.sign_off.by), before=before)
    return _promotion(store, candidate, record, created=True)


@dataclass(frozen=True)
class _Candidate:
    """What is to be promoted, and what it will look like under a version's number."""

    export: Export
    runtime: str
    name: str
    config: ServeConfig
    sign_off: SignOff

    @cached_property
    def card(self) -> Card:
        return read_card(self.export.path)

    def texts(self, version: int) -> dict[str, bytes]:
        """Return the small files that go beside the model."""
        config = config_of(self.export, self.runtime, name=self.name, version=version, serve=self.config)
        labels = "".join(" ".join(label.splitlines()) + "\n" for label in self.export.classes)
        return {LABELS: labels.encode(), CONFIG: config.render().encode()}

    def record(self, version: int, *, previous: int | None) -> Record:
        digests = {name: "sha256:" + hashlib.sha256(data).hexdigest() for name, data in self.texts(version).items()}
        digests |= self.sign_off.files
        return Record(self.name, version, self.runtime, digests, self.sign_off, now(), previous, self.card.brief())


def _served_already(store: Store, candidate: _Candidate, live: Live) -> Record | None:
    """Return the live version's record if a promotion would only repeat it."""
    if not store.exists(f"{candidate.name}/{live.version}/{RECORD}"):
        return None
    record = read_record(store, candidate.name, live.version)
    return record if record.digests == candidate.record(live.version, previous=None).digests else None


def _claim(store: Store, candidate: _Candidate, live: Live | None) -> Record:
    """Take the next free number by writing its record: two promoters get one each."""
    for _ in range(ATTEMPTS):
        version = max(versions(store, candidate.name), default=0) + 1
        record = candidate.record(version, previous=live.version if live else None)
        try:
            data = json.dumps(asdict(record), indent=1).encode() + b"\n"
            store.write_if(f"{candidate.name}/{version}/{RECORD}", data, tag=None)
        except ConflictError:
            continue
        return record
    raise ConflictError(f"{candidate.name}: {ATTEMPTS} version numbers were taken by others. Try again later.")


def _upload(store: Store, candidate: _Candidate, record: Record) -> None:
    folder = f"{candidate.name}/{record.version}"
    for file in candidate.export.files:
        store.upload(file, f"{folder}/{file.name}")
    for name, data in candidate.texts(record.version).items():
        store.write(f"{folder}/{name}", data)


def _promotion(store: Store, candidate: _Candidate, record: Record, *, created: bool) -> Promotion:
    return Promotion(
        repository=store.url,
        model=record.model,
        version=record.version,
        runtime=record.runtime,
        digests=record.digests,
        sign_off=record.sign_off,
        export=candidate.card.digest,
        created=created,
        previous=record.previous,
    )
