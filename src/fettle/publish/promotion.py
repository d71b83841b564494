"""Promotion: an approved export becomes a new version of a served model."""

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from fettle.card import Card, read_card
from fettle.evaluate.predictions import Thresholds
from fettle.export import Export, set_thresholds
from fettle.publish.approval import SignOff, check_sign_off, file_digests
from fettle.publish.config import LABELS, check_name, config_of, label_file
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
        export: Digest of the export's card; ``sign_off`` has those of its files before thresholds were set in them.
        created: ``False`` if these very files were live already, so that no version was made.
        previous: The version that was live before.
        thresholds: Constants that were set in the files; none for a task that has no thresholds.
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
    thresholds: Thresholds = field(default_factory=dict)


def promote(
    store: Store,
    export: Export,
    runtime: str,
    *,
    model_name: str,
    config: ServeConfig,
    sign_off: SignOff | None,
    thresholds: Thresholds = MappingProxyType({}),
) -> Promotion:
    """Publish ``export`` as a new version and make it the live one.

    The sign-off is checked against the export's own files; then a copy gets the ``thresholds``. The version's number
    is claimed, its files are uploaded and read back; then one conditional write of ``config.pbtxt`` is the commit.
    Until then, whatever happens, Triton serves what it served before. Triton notices at the next explicit load.

    Args:
        store: The model repository.
        export: What is published.
        runtime: Triton's backend that serves it.
        model_name: Name in the repository.
        config: How Triton runs it.
        sign_off: Of the export's files in this runtime.
        thresholds: Such as ``{"confidence": 0.31}``; by default those that the export was made with.

    Raises:
        GateError: If the export is not approved for ``runtime``.
        ArtifactError: If a file was altered after its approval or on its way.
        ConflictError: If somebody else's promotion was faster.
        StorageError: If the store fails.
    """
    check_name(model_name)
    approved = check_sign_off(sign_off, export, runtime)
    with _with_thresholds(export, thresholds) as served:
        candidate = _Candidate(served, runtime, model_name, config, approved, read_card(export.path))
        live = read_live(store, model_name)
        if live and (record := _served_already(store, candidate, live)):
            return _promotion(store, candidate, record, created=False)
        record = _claim(store, candidate, live)
        _upload(store, candidate, record)
        config_text = candidate.texts(record.version)[CONFIG].decode()
    verify_version(store, record)
    before = history(store, model_name)
    commit(store, model_name, config_text, replacing=live)
    log_event(store, model_name, Event(record.at, record.version, "promote", record.sign_off.by), before=before)
    return _promotion(store, candidate, record, created=True)


@contextlib.contextmanager
def _with_thresholds(export: Export, thresholds: Thresholds) -> Iterator[Export]:
    """Yield the export with these thresholds in its files: itself if it has them, else a copy for the time being."""
    if all(export.thresholds.get(name) == value for name, value in thresholds.items()):
        yield export
        return
    with tempfile.TemporaryDirectory(prefix="fettle-promote-") as folder:
        yield set_thresholds(export, Path(folder), **thresholds)


@dataclass(frozen=True)
class _Candidate:
    """What is to be promoted, and what it will look like under a version's number; ``card`` is the export's."""

    served: Export
    runtime: str
    name: str
    config: ServeConfig
    sign_off: SignOff
    card: Card

    @cached_property
    def digests(self) -> dict[str, str]:
        """Of the model's files."""
        return file_digests(self.served)

    def texts(self, version: int) -> dict[str, bytes]:
        """Return the small files that go beside the model."""
        config = config_of(self.served, self.runtime, name=self.name, version=version, serve=self.config)
        labels = label_file(self.served)
        return {CONFIG: config.render().encode(), **({} if labels is None else {LABELS: labels})}

    def record(self, version: int, *, previous: int | None) -> Record:
        texts = self.texts(version).items()
        return Record(
            model=self.name,
            version=version,
            runtime=self.runtime,
            digests={name: "sha256:" + hashlib.sha256(data).hexdigest() for name, data in texts} | self.digests,
            sign_off=self.sign_off,
            at=now(),
            previous=previous,
            lineage=self.card.brief(),
            thresholds=self.served.thresholds,
        )


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
    for file in candidate.served.files:
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
        thresholds=record.thresholds,
    )
