"""Promotion: an approved export becomes a new version of a served model."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from fettle.card import read_card
from fettle.evaluate.predictions import Thresholds
from fettle.export import Export, set_thresholds
from fettle.publish.approval import SignOff, check_sign_off
from fettle.publish.config import check_name
from fettle.publish.ensemble import Ensemble
from fettle.publish.release import Release, publish, published_as, release_of
from fettle.publish.repository import Event, Record, commit, history, log_event, read_live
from fettle.publish.steps import Steps, hold, live_steps, pins, settle, together
from fettle.spec.serve import ServeConfig
from fettle.storage import Store


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
    Until then, whatever happens, Triton serves what it served before. Triton notices at the next explicit load. The
    members of an ensemble become models of their own, named ``<model_name>.<member>``; a new version of it names the
    versions of its members that were judged together.

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
        card = read_card(export.path)
        steps: Steps = {}
        if served.format == "ensemble":
            ensemble = Ensemble(served, model_name, config, approved, card)
            steps = ensemble.publish_models(store)
            release = ensemble.release(steps)
        else:
            release = release_of(served, runtime, model_name, config, approved, card)
        live = read_live(store, model_name)
        if live and (record := published_as(store, release, live.version)):
            return _promotion(store, release, record, created=False)
        record = publish(store, release, live)
    before, named = history(store, model_name), live_steps(store, model_name)
    hold(store, steps, by=approved.by)
    text = together(store, model_name, {record.version, *pins(store, model_name)})
    commit(store, model_name, text, replacing=live)
    log_event(store, model_name, Event(record.at, record.version, "promote", record.sign_off.by), before=before)
    settle(store, steps, before=named, by=approved.by)
    return _promotion(store, release, record, created=True)


@contextlib.contextmanager
def _with_thresholds(export: Export, thresholds: Thresholds) -> Iterator[Export]:
    """Yield the export with these thresholds in its files: itself if it has them, else a copy for the time being."""
    if all(export.thresholds.get(name) == value for name, value in thresholds.items()):
        yield export
        return
    with tempfile.TemporaryDirectory(prefix="fettle-promote-") as folder:
        yield set_thresholds(export, Path(folder), **thresholds)


def _promotion(store: Store, release: Release, record: Record, *, created: bool) -> Promotion:
    return Promotion(
        repository=store.url,
        model=record.model,
        version=record.version,
        runtime=record.runtime,
        digests=record.digests,
        sign_off=record.sign_off,
        export=release.card.digest,
        created=created,
        previous=record.previous,
        thresholds=record.thresholds,
    )
