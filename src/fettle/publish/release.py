"""A release: what becomes a version of a model, and how it gets there."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from fettle.card import Card, digest_file
from fettle.evaluate.predictions import Thresholds
from fettle.export.manifest import Export
from fettle.publish.approval import SignOff
from fettle.publish.config import LABELS, config_of, label_file
from fettle.publish.repository import CONFIG, RECORD, Live, Record, now, read_record, verify_version, versions
from fettle.spec.serve import ServeConfig
from fettle.storage import ConflictError, Store

ATTEMPTS = 20


@dataclass(frozen=True)
class Release:
    """Files, and what they will look like under a version's number.

    Attributes:
        name: The model.
        runtime: Triton's backend that serves it, or ``ensemble``.
        files: By name.
        configure: (version) -> ``config.pbtxt`` that serves it alone.
        labels: Class names, a line each, if it has any.
        sign_off: Who approved the files.
        card: Of the export.
        thresholds: Constants in the model's graph.
    """

    name: str
    runtime: str
    files: Mapping[str, Path]
    configure: Callable[[int], str]
    labels: bytes | None
    sign_off: SignOff
    card: Card
    thresholds: Thresholds = field(default_factory=dict)

    @cached_property
    def digests(self) -> dict[str, str]:
        """Of the model's files."""
        return {name: digest_file(file) for name, file in self.files.items()}

    def texts(self, version: int) -> dict[str, bytes]:
        """Return the small files that go beside the model."""
        labels = {} if self.labels is None else {LABELS: self.labels}
        return {CONFIG: self.configure(version).encode(), **labels}

    def record(self, version: int, *, previous: int | None = None) -> Record:
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
            thresholds=self.thresholds,
        )


def release_of(export: Export, runtime: str, name: str, serve: ServeConfig, sign_off: SignOff, card: Card) -> Release:
    """Return the release of a model that a runtime serves."""
    return Release(
        name=name,
        runtime=runtime,
        files={file.name: file for file in export.files},
        configure=lambda version: config_of(export, runtime, name=name, version=version, serve=serve).render(),
        labels=label_file(export),
        sign_off=sign_off,
        card=card,
        thresholds=export.thresholds,
    )


def publish(store: Store, release: Release, live: Live | None) -> Record:
    """Upload a new version and read it back; it is not live yet.

    Raises:
        ArtifactError: If a file was altered on its way.
        ConflictError: If others were faster, again and again.
        StorageError: If the store fails.
    """
    record = _claim(store, release, live)
    folder = f"{release.name}/{record.version}"
    for name, file in release.files.items():
        store.upload(file, f"{folder}/{name}")
    for name, data in release.texts(record.version).items():
        store.write(f"{folder}/{name}", data)
    verify_version(store, record)
    return record


def published_as(store: Store, release: Release, version: int) -> Record | None:
    """Return the record of ``version`` if publishing would only repeat it."""
    if not store.exists(f"{release.name}/{version}/{RECORD}"):
        return None
    record = read_record(store, release.name, version)
    return record if record.digests == release.record(version).digests else None


def _claim(store: Store, release: Release, live: Live | None) -> Record:
    """Take the next free number by writing its record: two promoters get one each."""
    for _ in range(ATTEMPTS):
        version = max(versions(store, release.name), default=0) + 1
        record = release.record(version, previous=live.version if live else None)
        try:
            data = json.dumps(asdict(record), indent=1).encode() + b"\n"
            store.write_if(f"{release.name}/{version}/{RECORD}", data, tag=None)
        except ConflictError:
            continue
        return record
    raise ConflictError(f"{release.name}: {ATTEMPTS} version numbers were taken by others. Try again later.")
