"""Rollback: an earlier version becomes the live one again. Nothing is deleted."""

from fettle.errors import StorageError
from fettle.publish.config import check_name
from fettle.publish.repository import (
    Event,
    Live,
    commit,
    history,
    log_event,
    now,
    read_live,
    read_record,
    verify_version,
)
from fettle.publish.steps import hold, live_steps, pins, settle, together, version_steps
from fettle.storage import Store


def rollback(store: Store, model_name: str, *, to: int | None = None, by: str = "") -> int:
    """Make the version ``to`` live again, by default the one that the live version replaced, and return it.

    Its own configuration comes back with it, so that labels, backend and batching are those it was promoted with.

    Raises:
        StorageError: If nothing is live, or there is no such version to go back to.
        ArtifactError: If the earlier version is damaged.
        ConflictError: If somebody else's promotion was faster.
    """
    live = read_live(store, check_name(model_name))
    if live is None:
        raise StorageError(f"{store.url}/{model_name} has no live version: promote one first.")
    target = _target(store, model_name, live) if to is None else to
    if target == live.version:
        raise StorageError(f"{model_name}: version {target} is live already.")
    pinned = pins(store, model_name)
    if max(pinned, default=0) > target:
        raise StorageError(
            f"{model_name}: an ensemble answers by version {max(pinned)}, and Triton gives the highest that it serves: "
            "roll back the ensemble."
        )
    before = history(store, model_name)
    if target not in {event.version for event in before}:
        promoted = ", ".join(str(version) for version in sorted({event.version for event in before}))
        raise StorageError(f"{model_name}: version {target} was never promoted; `to` may be one of {promoted}.")
    verify_version(store, read_record(store, model_name, target))
    steps, named = version_steps(store, model_name, target), live_steps(store, model_name)
    hold(store, steps, by=by)
    commit(store, model_name, together(store, model_name, {target, *pinned}), replacing=live)
    log_event(store, model_name, Event(now(), target, "rollback", by), before=before)
    settle(store, steps, before=named, by=by)
    return target


def _target(store: Store, model_name: str, live: Live) -> int:
    previous = read_record(store, model_name, live.version).previous
    if previous is None:
        raise StorageError(f"{model_name}: version {live.version} is the first, there is none to roll back to.")
    return previous
