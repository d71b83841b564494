"""Images in an object store: uploaded once by content, fetched by the step that reads them."""

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fettle.card import digest_json
from fettle.data.fingerprint import files_of
from fettle.data.fingerprint import fingerprint as fingerprint_here
from fettle.errors import DataError
from fettle.spec import DatasetConfig
from fettle.storage import Store, is_remote, open_store

log = logging.getLogger("fettle")

TRANSFERS = 8  # at once
Progress = Callable[[int, int], None]  # files that are done, and all


def upload(
    source: Path, config: DatasetConfig, store: Store, *, content: str, on_file: Progress | None = None
) -> tuple[str, bool]:
    """Copy what ingest reads at ``source`` into ``store``, unless it is there already.

    A folder goes to ``<content>/<name>/``, a file beside what lies below its folder. ``<content>.json`` is written
    last: without it an upload has not ended, and the next one goes on with the files that are missing.

    Args:
        source: Folder of images, or the file that lists them.
        config: How it is read.
        store: Where data are kept.
        content: The fingerprint of the source.
        on_file: Called as files arrive.

    Returns:
        The source's URL in the store, and whether anything was uploaded.

    Raises:
        DataError: If the source lists files that do not lie below its folder.
        StorageError: If the store fails.
    """
    key = content.removeprefix("sha256:")[:16]
    url, mark = f"{store.url}/{key}/{source.name}", f"{key}.json"
    if store.exists(mark):
        return url, False
    root, names = files_of(source, config)
    below = f"{key}/{source.name}" if source.is_dir() else key
    there = set(store.list(below))
    missing = [name for name in names if f"{below}/{name}" not in there]
    _each(missing, lambda name: store.upload(root / name, f"{below}/{name}"), on_file)
    store.write(mark, json.dumps({"content": content, "source": url, "files": len(names)}).encode() + b"\n")
    return url, True


@contextlib.contextmanager
def fetched(source: str, *, on_file: Progress | None = None) -> Iterator[Path]:
    """Yield a copy of a source on this machine, removed afterwards.

    Of ``s3://bucket/labels.csv``, and any other file, all that lies below its folder is fetched.

    Raises:
        DataError: If there is nothing.
        StorageError: If the store fails.
    """
    store, name, names = _found(source, os.environ)
    with tempfile.TemporaryDirectory(prefix="fettle-") as folder:
        log.info("Fetching %d files of %s.", len(names), source)
        _each(names, lambda each: store.download(each, Path(folder) / each), on_file)
        yield Path(folder) / name


def fingerprint(source: str, config: DatasetConfig, *, environ: Mapping[str, str] = os.environ) -> str:
    """Return ``sha256:<hex>`` of what ingest would read at ``source``; of a store's objects, by what it says of them.

    ``environ`` has the store's settings (see :func:`fettle.storage.open_store`).

    Raises:
        DataError: If there is nothing.
        StorageError: If the store fails.
    """
    if not is_remote(source):
        return fingerprint_here(Path(source), config)
    store, _, names = _found(source, environ)
    with ThreadPoolExecutor(TRANSFERS) as pool:
        return digest_json(dict(zip(names, pool.map(store.tag, names), strict=True)))


def _found(source: str, environ: Mapping[str, str]) -> tuple[Store, str, list[str]]:
    """Return the store of a source's parent, the source's name in it, and the files to read."""
    parent, _, name = source.rstrip("/").rpartition("/")
    if parent == "s3:":  # a whole bucket
        raise DataError(f"dataset.path is the whole bucket {source!r}: put the images into a folder of it.")
    store = open_store(parent, environ=environ)
    names = store.list(name) or (store.list() if store.exists(name) else ())
    if not names:
        raise DataError(
            f"There is nothing at {source}: set dataset.path to a folder of images, or to a file that lists them."
        )
    return store, name, list(names)


def _each(names: Sequence[str], do: Callable[[str], None], on_file: Progress | None) -> None:
    with ThreadPoolExecutor(TRANSFERS) as pool:
        for done, _ in enumerate(pool.map(do, names), 1):
            if on_file:
                on_file(done, len(names))
