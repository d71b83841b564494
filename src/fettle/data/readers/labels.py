"""Readers of images that have a label each: from folders, from file names, from a table."""

import csv
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from fettle.data.listing import Item, Listing
from fettle.data.readers.files import SPLIT_NAMES, image_paths
from fettle.errors import DataError
from fettle.spec import DatasetConfig

log = logging.getLogger("fettle")


def read_imagefolder(source: Path, config: DatasetConfig) -> Listing:
    """A folder a class, with or without ``train``, ``val``, ``test``, ``calib`` folders above."""
    del config
    paths = [path.split("/") for path in image_paths(source)]
    nested = [parts for parts in paths if len(parts) > 1]
    split_above = bool(nested) and all(parts[0].lower() in SPLIT_NAMES for parts in nested)
    depth = 2 if split_above else 1
    labelled = [parts for parts in nested if len(parts) > depth]
    _report_skipped(source, len(paths) - len(labelled), "lie in no class folder", remedy="use layout: pattern")
    items = (
        Item("/".join(parts), parts[depth - 1], SPLIT_NAMES[parts[0].lower()] if split_above else None)
        for parts in labelled
    )
    return _listing(source, items)


def read_pattern(source: Path, config: DatasetConfig) -> Listing:
    """The group ``label`` of a regular expression that is searched in the path."""
    pattern = re.compile(config.label_pattern or "")
    found = [(path, pattern.search(path)) for path in image_paths(source)]
    items = [Item(path, match["label"]) for path, match in found if match and match["label"]]
    _report_skipped(source, len(found) - len(items), f"do not match {pattern.pattern!r}", remedy="mend label_pattern")
    return _listing(source, items)


def read_csv(source: Path, config: DatasetConfig) -> Listing:
    """Lines ``path,label[,split]`` under such a header; paths are relative to the folder of the file."""
    del config
    if not source.is_file():
        raise DataError(f"{source} is not a file: for layout: csv, dataset.path is a CSV file.")
    try:
        with source.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.DictReader(stream)
            header = rows.fieldnames or []
            if not {"path", "label"} <= set(header):
                raise DataError(f"{source}, line 1: the header must be path,label[,split], got {','.join(header)!r}.")
            return _listing(source.parent, (_csv_item(source, rows.line_num, row) for row in rows))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{source} cannot be read as a CSV file in UTF-8: {error}.") from None


def _csv_item(source: Path, line: int, row: Mapping[str, str | None]) -> Item:
    path = row.get("path") or ""  # as it is: a file name may begin with a space
    label, split = ((row.get(key) or "").strip() for key in ("label", "split"))
    if not path or not label:
        raise DataError(f"{source}, line {line}: {'path' if not path else 'label'} is empty.")
    if split and split.lower() not in SPLIT_NAMES:
        raise DataError(f"{source}, line {line}: split must be train, calib, val, test or empty, got {split!r}.")
    return Item(path, label, SPLIT_NAMES[split.lower()] if split else None)


def _listing(root: Path, items: Iterable[Item]) -> Listing:
    return Listing(root, tuple(items))


def _report_skipped(source: Path, count: int, why: str, *, remedy: str) -> None:
    if count:
        log.warning("%s: %d images %s and are left out (%s, if they should count).", source, count, why, remedy)
