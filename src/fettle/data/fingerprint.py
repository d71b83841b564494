"""Fingerprint of a source: the same images and names give the same digest, without decoding any."""

import os.path
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fettle.card import digest_file, digest_json
from fettle.data.castings import BOXES, read_about, recipe
from fettle.data.readers import READERS
from fettle.data.readers.files import image_paths
from fettle.data.readers.labels import read_csv
from fettle.errors import DataError
from fettle.hardware import passport
from fettle.spec import DatasetConfig


def fingerprint(source: Path, config: DatasetConfig) -> str:
    """Return ``sha256:<hex>`` of what ingest would read at ``source``.

    Castings that are not there yet have the fingerprint that they will have once they are made.

    Raises:
        DataError: If the source does not exist.
    """
    if config.layout == "castings" and not source.exists():
        return digest_json(recipe(count=config.count))
    if not source.exists():
        raise DataError(f"{source} does not exist: set dataset.path to the folder (or CSV file) of images.")
    folder, names = FILES.get(config.layout, _images_below)(source, config)
    files = digest_json(_digests(folder, names))
    if config.layout == "castings" and (made := _as_made(source, files)):
        return digest_json(made)
    return digest_json([files, digest_file(source) if source.is_file() else None])


def is_made_by_ingest(content: str, config: DatasetConfig) -> bool:
    """Tell whether data with this fingerprint are castings that ingest makes itself, wherever it runs."""
    return config.layout == "castings" and content == digest_json(recipe(count=config.count))


def files_of(source: Path, config: DatasetConfig) -> tuple[Path, list[str]]:
    """Return all that ingest reads at ``source``: the source's own folder, and the files below it that are there.

    Raises:
        DataError: If some of them lie elsewhere.
    """
    home = source if source.is_dir() else source.parent
    folder, names = FILES.get(config.layout, _images_below)(source, config)
    files = [source, home / BOXES] if config.layout == "castings" else [source]
    files = [file for file in [*files, *(folder / name for name in names)] if file.is_file()]
    below = [os.path.relpath(file, home) for file in files]
    if outside := next((name for name in below if name.startswith("..")), None):
        raise DataError(f"{source} lists {home / outside}, which is not below {home}: bring the files into one folder.")
    return home, list(dict.fromkeys(below))


def _images_below(source: Path, config: DatasetConfig) -> tuple[Path, list[str]]:
    del config
    return source, image_paths(source)


def _listed(source: Path, config: DatasetConfig) -> tuple[Path, list[str]]:
    listing = read_csv(source, config)
    return listing.root, [item.path for item in listing.items]


def _annotated(source: Path, config: DatasetConfig) -> tuple[Path, list[str]]:
    listing = READERS["detect"][config.layout](source, config)
    broken = [name for one in listing.broken for name in (one.item.path, one.item.annotation)]
    return listing.root, [*(item.path for item in listing.items), *broken, *listing.files]


# Which files a layout reads, where they are not simply the images of a folder.
FILES: Mapping[str, Callable[[Path, DatasetConfig], tuple[Path, list[str]]]] = {
    "csv": _listed,
    "yolo": _annotated,
    "coco": _annotated,
    "voc": _annotated,
}


def _digests(folder: Path, names: Sequence[str]) -> dict[str, str | None]:
    """Return the digest of each file, ``None`` for one that is missing."""

    def digest(name: str) -> str | None:
        file = folder / name
        return digest_file(file) if file.is_file() else None

    with ThreadPoolExecutor(passport().cores) as pool:
        return dict(zip(names, pool.map(digest, names), strict=True))


def _as_made(source: Path, files: str) -> dict[str, int] | None:
    """Return the recipe of castings whose images and boxes nobody has touched."""
    about = read_about(source)
    made = about.get("digest") == files and about.get("boxes_digest") == digest_json(about.get("boxes"))
    return {key: about[key] for key in recipe()} if made else None
