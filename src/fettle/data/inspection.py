"""A first look at a folder: what ``fettle init`` writes into a spec."""

import contextlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from fettle.data.listing import Item
from fettle.data.readers import READERS
from fettle.data.readers.coco import find_json
from fettle.data.readers.files import SPLIT_NAMES, file_paths, image_paths
from fettle.data.readers.labels import read_csv, read_imagefolder
from fettle.data.readers.yolo import find_yaml
from fettle.errors import DataError
from fettle.spec import DatasetConfig

SAMPLE = 500
MAX_CLASSES = 1000
# How people put a label into a file name, in the order in which they are tried.
PATTERNS = (
    r"(?P<label>[^/]*?[^/\d_. -])[_. -]*\(?\d+\)?\.[^./]+$",  # crazing_12.jpg, cat.7.png, ok (3).jpg
    r"\d+[_. -]+(?P<label>[^/\d_. -][^/\d]*)\.[^./]+$",  # 0012_ok.png
    r"(?P<label>[A-Za-z]+)[_.-][^/]*$",  # ok_line3_0012a.png
)
CONTAINER = re.compile(r"(^|[_-])(jpe?g)?(images?|imgs?|photos?|pictures?|data)\d*$", re.IGNORECASE)


@dataclass(frozen=True)
class FolderFacts:
    """What a folder of images looks like.

    Attributes:
        layout: A value of ``dataset.layout``.
        path: Where ``dataset.path`` should point.
        images: Their number.
        classes: Images a class, or boxes.
        splits: Images a split that the source fixes.
        width: Percentiles 5, 50 and 95 of a sample, in pixels.
        height: Likewise.
        image_size: A proposal for ``model.image_size``.
        label_pattern: For ``pattern``.
        task: What the labels are for.
        notes: What the reader decided.
    """

    layout: str
    path: Path
    images: int
    classes: Mapping[str, int]
    width: tuple[int, int, int]
    height: tuple[int, int, int]
    image_size: int
    label_pattern: str | None = None
    splits: Mapping[str, int] = field(default_factory=dict)
    task: str = "classify"
    notes: tuple[str, ...] = ()

    @property
    def imbalance(self) -> float:
        """Images or boxes of the largest class for one of the smallest."""
        return max(self.classes.values()) / max(1, min(self.classes.values()))

    @property
    def square(self) -> bool:
        """Whether most images are nearly square."""
        return abs(self.width[1] / self.height[1] - 1) < 0.05


def inspect_folder(folder: Path) -> FolderFacts:
    """Guess layout, classes and a good image size from names and headers; nothing is decoded.

    Raises:
        DataError: If the folder holds no image, or labels are found in neither folders nor file names.
    """
    layout = _box_layout(folder)
    if layout is not None:
        return _facts_of_boxes(layout, folder)
    table = _label_table(folder)
    if table is not None:
        return _facts("csv", table, read_csv(table, DatasetConfig()).items, table.parent)
    paths = image_paths(folder)
    if not paths:
        raise DataError(f"{folder} has no image.")
    if all(_is_container(part) for path in paths for part in path.split("/")[:-1]):
        pattern, items = _by_name(folder, paths)
        return _facts("pattern", folder, items, folder, label_pattern=pattern)
    return _facts("imagefolder", folder, read_imagefolder(folder, DatasetConfig()).items, folder)


def _box_layout(folder: Path) -> str | None:
    """Return the layout of boxes: what annotates lies in the folder, or is the argument itself."""
    if folder.is_file():
        return {".yaml": "yolo", ".yml": "yolo", ".json": "coco"}.get(folder.suffix.lower())
    with contextlib.suppress(DataError):
        return "yolo" if find_yaml(folder) else None
    with contextlib.suppress(DataError):
        return "coco" if find_json(folder) else None
    pages = file_paths(folder, {".xml"}) if folder.is_dir() else []
    return "voc" if pages and b"<annotation" in (folder / pages[0]).read_bytes() else None


def _facts_of_boxes(layout: str, path: Path) -> FolderFacts:
    listing = READERS["detect"][layout](path, DatasetConfig())
    objects = listing.objects
    sizes = np.array(_sizes(listing.root, listing.items)).reshape(-1, 2)
    if objects is None or not len(objects) or not len(sizes):
        raise DataError(f"{path} has layout {layout!r}, but {'no image' if not len(sizes) else 'not a single box'}.")
    width, height = (_percentiles(column) for column in sizes.T)
    valid = objects.labels[(objects.labels >= 0) & (objects.labels < len(listing.classes))]
    counts = np.bincount(valid, minlength=len(listing.classes)).tolist()
    sides = np.sqrt(np.abs((objects.xyxy[:, 2:] - objects.xyxy[:, :2]).prod(axis=1)))
    side = float(np.nanmedian(sides)) / (1 if objects.relative else max(width[1], height[1]))
    return FolderFacts(
        layout=layout,
        path=path,
        images=len(listing.items),
        classes=dict(zip(listing.classes, counts, strict=True)),
        width=width,
        height=height,
        image_size=propose_detector_size(max(width[1], height[1]), side),
        splits=dict(Counter(item.split for item in listing.items if item.split)),
        task="detect",
        notes=listing.notes,
    )


def propose_detector_size(longer: int, object_share: float) -> int:
    """A multiple of 32, up to 320 pixels; up to 640 where half of the objects would be below 32 pixels otherwise.

    Args:
        longer: Longer side of the images in pixels.
        object_share: Median side of the objects as a share of it.
    """
    most = 320 if object_share * 320 >= 32 else 640
    return max(32, -(-min(longer, most) // 32) * 32)


def _is_container(name: str) -> bool:
    return bool(CONTAINER.search(name)) or name.lower() in SPLIT_NAMES


def _label_table(folder: Path) -> Path | None:
    """Return the CSV file with labels: the argument itself, or the only one in it that has the header."""
    candidates = [folder] if folder.is_file() else sorted(folder.glob("*.csv"))
    for file in candidates:
        with file.open(encoding="utf-8-sig", errors="replace") as stream:
            if {"path", "label"} <= {name.strip() for name in stream.readline().split(",")}:
                return file
    if folder.is_file():
        raise DataError(f"{folder} is neither a folder nor a CSV file with the header path,label[,split].")
    return None


def _by_name(folder: Path, paths: Sequence[str]) -> tuple[str, list[Item]]:
    """Find the first pattern that matches every name and makes a plausible number of classes."""
    for pattern in PATTERNS:
        matches = [re.search(pattern, path) for path in paths]
        labels = Counter(match["label"] for match in matches if match)
        plausible = 2 <= len(labels) <= min(MAX_CLASSES, len(paths) // 2)
        if plausible and all(matches):
            return pattern, [Item(path, match["label"]) for path, match in zip(paths, matches, strict=True) if match]
    raise DataError(
        f"The labels of {folder} are neither folders nor prefixes of the file names, such as {paths[0]!r}: "
        "write a CSV file with the header path,label and give it as dataset.path with layout: csv."
    )


def _facts(
    layout: str, path: Path, items: Sequence[Item], root: Path, *, label_pattern: str | None = None
) -> FolderFacts:
    sizes = np.array(_sizes(root, items)).reshape(-1, 2)
    if not len(sizes):
        raise DataError(f"None of the images in {root} can be opened.")
    width, height = (_percentiles(column) for column in sizes.T)
    return FolderFacts(
        layout=layout,
        path=path,
        images=len(items),
        classes=dict(sorted(Counter(item.label for item in items).items())),
        width=width,
        height=height,
        image_size=propose_size(int(np.median(sizes.min(axis=1)))),
        label_pattern=label_pattern,
        splits=dict(Counter(item.split for item in items if item.split)),
    )


def propose_size(side: int) -> int:
    """Half of the shorter side, between 112 and 224 pixels where there are as many, as a multiple of 16."""
    return max(16, min(224, max(side // 2, min(side, 112))) // 16 * 16)


def _sizes(root: Path, items: Sequence[Item]) -> list[tuple[int, int]]:
    """Read the sizes of a sample, spread evenly, from the headers."""
    sizes = []
    for item in items[:: max(1, len(items) // SAMPLE)]:
        try:
            with Image.open(root / item.path) as image:
                sizes.append(image.size)
        except Exception:  # ingest will say what is wrong with it
            continue
    return sizes


def _percentiles(column: np.ndarray) -> tuple[int, int, int]:
    low, middle, high = np.percentile(column, (5, 50, 95)).astype(int).tolist()
    return low, middle, high
