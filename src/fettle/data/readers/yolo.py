"""Reader of YOLO: ``data.yaml`` and a text file an image (https://docs.ultralytics.com/datasets/detect/)."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fettle.data.listing import Broken, Finding, Item, Listing, ObjectTable
from fettle.data.readers.files import SPLIT_NAMES, below, image_paths
from fettle.errors import DataError
from fettle.spec import DatasetConfig

NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


def read_yolo(source: Path, config: DatasetConfig) -> Listing:
    """``data.yaml`` (or its folder) with ``names``, ``train``, ``val``, ``test``, and labels in place of images.

    ``images/a.jpg`` has its boxes in ``labels/a.txt``, lines ``class x y width height`` in shares of the image; an
    empty file or none is a background image. Outlines become the boxes around them, keypoints are left out.
    """
    del config
    file = find_yaml(source)
    about = load_yaml(file)
    collected = _Collected(_base(file, about), _keypoint_values(about))
    if about.get("download"):
        collected.notes.append(f"{file}: `download` is code that Fettle never runs.")
    for split, image in _images(file, about, collected):
        collected.add(image, split)
    return Listing(
        root=collected.base,
        items=tuple(collected.items),
        classes=_classes(file, about),
        objects=collected.table.objects(relative=True),
        broken=tuple(collected.broken),
        findings=tuple(collected.findings),
        notes=(*collected.notes, *collected.counted()),
        files=(below(collected.base, file), *(item.annotation for item in collected.items if item.annotation)),
    )


@dataclass
class _Collected:
    """A listing in the making."""

    base: Path
    keypoints: int  # values after the five of a box
    items: list[Item] = field(default_factory=list)
    table: ObjectTable = field(default_factory=ObjectTable)
    broken: list[Broken] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    outlines: int = 0

    def add(self, image: Path, split: str) -> None:
        file = label_file(image)
        item = Item(below(self.base, image), split=split, annotation=below(self.base, file))
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except FileNotFoundError:
            lines, item = [], Item(item.path, split=split)
        except (OSError, UnicodeDecodeError) as error:
            self.broken.append(Broken(item, f"{item.annotation} cannot be read: {error}"))
            return
        for number, line in enumerate(lines, 1):
            if line.strip():
                self._add_line(item, number, line.split())
        self.items.append(item)

    def _add_line(self, item: Item, number: int, values: list[str]) -> None:
        try:
            label, *numbers = (float(value) for value in values)
            if label != int(label):
                raise ValueError(f"class {values[0]!r} is not a whole number")
            self.table.add(len(self.items), int(label), self._corners(numbers), number)
        except (ValueError, OverflowError) as error:
            self.findings.append(Finding(item.path, item.annotation, f"line {number}", str(error)))

    def _corners(self, numbers: list[float]) -> tuple[float, float, float, float]:
        if len(numbers) in (4, 4 + self.keypoints):
            x, y, width, height = numbers[:4]
            return x - width / 2, y - height / 2, x + width / 2, y + height / 2
        if len(numbers) >= 6 and len(numbers) % 2 == 0 and not self.keypoints:
            self.outlines += 1
            bad = math.nan if any(map(math.isnan, numbers)) else 0.0
            return min(numbers[::2]) + bad, min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])
        raise ValueError(f"has {1 + len(numbers)} values, a box has 5: class, x, y, width, height")

    def counted(self) -> Iterator[str]:
        missing = sum(not item.annotation for item in self.items)
        if missing:
            yield (
                f"{missing} of {len(self.items)} images have no label file and count as background; forgotten? "
                "An empty file says that background is meant."
            )
        if self.outlines:
            yield f"{self.outlines} outlines became the boxes around them."


def find_yaml(source: Path) -> Path:
    """Return ``source`` itself, or the file in the folder that says where images are and what classes are called.

    Raises:
        DataError: If there is none, or several.
    """
    if source.is_file():
        return source
    named = [source / name for name in NAMES if (source / name).is_file()]
    found = named[:1] or sorted(file for file in source.glob("*.y*ml") if "names" in load_yaml(file))
    if len(found) != 1:
        raise DataError(
            f"{source} has {'no data.yaml' if not found else f'several: {[file.name for file in found]}'}: for "
            "layout: yolo, dataset.path is a data.yaml or the folder that holds it."
        )
    return found[0]


def load_yaml(file: Path) -> Mapping[str, Any]:
    """Read a mapping; tags that would make objects are refused.

    Raises:
        DataError: If it is not one.
    """
    try:
        about = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise DataError(f"{file} cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(about, dict):
        raise DataError(f"{file} must map `train`, `val` and `names` to values, got {type(about).__name__}.")
    return about


def label_file(image: Path) -> Path:
    """Return where the boxes of an image are: the last folder ``images`` is ``labels``, or beside it."""
    parts = list(image.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _base(file: Path, about: Mapping[str, Any]) -> Path:
    """Return the folder that ``path`` names if it is there, else the file's own: exports carry the maker's paths."""
    named = file.parent / str(about.get("path") or ".")
    return Path(named if named.is_dir() else file.parent)


def _keypoint_values(about: Mapping[str, Any]) -> int:
    shape = about.get("kpt_shape")
    return math.prod(int(length) for length in shape) if isinstance(shape, list) else 0


def _classes(file: Path, about: Mapping[str, Any]) -> tuple[str, ...]:
    names = about.get("names")
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{file}: `names` must list the classes, or number them from 0, got {names!r}.")
    classes = tuple(str(name) for name in names)
    if len(set(classes)) != len(classes):
        raise DataError(f"{file}: `names` has a class twice: {', '.join(classes)}.")
    if about.get("nc") not in (None, len(classes)):
        raise DataError(f"{file}: `nc` is {about['nc']!r}, but there are {len(classes)} `names`.")
    return classes


def _images(file: Path, about: Mapping[str, Any], collected: _Collected) -> Iterator[tuple[str, Path]]:
    """Give each image with its split; one that is in several is given once, so that training gives way to the test."""
    seen = set[Path]()
    for split in ("test", "val", "calib", "train"):
        values = [value for key, value in about.items() if SPLIT_NAMES.get(str(key).lower()) == split and value]
        for value in values:
            for entry in value if isinstance(value, list) else [value]:
                for image in _entry(file, str(entry), split, collected):
                    if image not in seen:
                        seen.add(image)
                        yield split, image


def _entry(file: Path, entry: str, split: str, collected: _Collected) -> list[Path]:
    """Return the images of a folder, of a list of files, or a single one."""
    base = collected.base
    # Exports of Roboflow say ../train/images of a folder that lies beside data.yaml, as Ultralytics knows too.
    places = [base / entry, file.parent / entry, base / entry.removeprefix("../")]
    place = next((place for place in places if place.exists()), None)
    if place is None and split == "train":
        raise DataError(f"{file}: `train` is {entry!r}, which is not below {base}: mend it, or `path`.")
    if place is None:
        collected.notes.append(f"{file}: `{split}` is {entry!r}, which does not exist; {split} is carved from train.")
        return []
    if place.is_dir():
        return [place / path for path in image_paths(place)]
    lines = (line.strip() for line in place.read_text(encoding="utf-8-sig").splitlines())
    return [_listed(place, base, line) for line in lines if line]


def _listed(listing: Path, base: Path, line: str) -> Path:
    beside = listing.parent / line
    return beside if beside.exists() or not (base / line).exists() else base / line
