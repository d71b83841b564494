"""Fingerprint of a source: the same images and names give the same digest, without decoding any."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fettle.card import digest_file, digest_json
from fettle.data.castings import read_about, recipe
from fettle.data.readers import image_paths, read_csv, root
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
    names = [item.path for item in read_csv(source, config)] if config.layout == "csv" else image_paths(source)
    files = digest_json(_digests(root(source), names))
    if config.layout == "castings" and (made := _as_made(source, files)):
        return digest_json(made)
    return digest_json([files, digest_file(source) if source.is_file() else None])


def _digests(folder: Path, names: Sequence[str]) -> dict[str, str | None]:
    """Return the digest of each file, ``None`` for one that is missing."""

    def digest(name: str) -> str | None:
        file = folder / name
        return digest_file(file) if file.is_file() else None

    with ThreadPoolExecutor(passport().cores) as pool:
        return dict(zip(names, pool.map(digest, names), strict=True))


def _as_made(source: Path, files: str) -> dict[str, int] | None:
    """Return the recipe of castings whose images nobody has touched."""
    about = read_about(source)
    return {key: about[key] for key in recipe()} if about.get("digest") == files else None
