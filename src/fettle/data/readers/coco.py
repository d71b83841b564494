"""Reader of COCO JSON (https://cocodataset.org/#format-data)."""

import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from fettle.data.listing import Finding, Item, Listing, ObjectTable
from fettle.data.readers.files import below, file_paths, image_paths, split_in
from fettle.errors import DataError
from fettle.spec import DatasetConfig

SECTIONS = {"images", "annotations", "categories"}


def read_coco(source: Path, config: DatasetConfig) -> Listing:
    """A JSON file, or a folder of them whose names or folders tell the splits; images lie anywhere below.

    Classes are the categories' names, in the order of their ids. Crowds, which are no single objects, are left out.
    Images of the folder that no file lists are left out.
    """
    del config
    files = find_json(source)
    root = _root(source)
    reading = _Reading(root, _ImageIndex(image_paths(root)))
    for file in files:
        reading.read(file, split_in(below(root, file)) if len(files) > 1 else None)
    return Listing(
        root=root,
        items=tuple(reading.items),
        classes=tuple(reading.classes),
        objects=reading.table.objects(place="annotation"),
        findings=tuple(reading.findings),
        notes=reading.notes(),
        files=tuple(below(root, file) for file in files),
    )


class Annotations:
    """The annotations of a file as columns, taken from the JSON while it is parsed.

    A million of them as dictionaries, with outlines, would take gigabytes.
    """

    def __init__(self) -> None:
        self.ids: list[Any] = []
        self.images: list[Any] = []
        self.categories: list[Any] = []
        self.boxes = array("d")  # x, y, width, height; NaN four times where that is not what is written
        self.crowds = array("b")

    def take(self, entry: dict[str, Any]) -> dict[str, Any] | None:
        """Keep an annotation and drop the dictionary; leave any other as it is."""
        if "image_id" not in entry or "category_id" not in entry:
            return entry
        self.ids.append(entry.get("id"))
        self.images.append(entry["image_id"])
        self.categories.append(entry["category_id"])
        self.boxes.extend(_four(entry.get("bbox")))
        self.crowds.append(bool(entry.get("iscrowd")))
        return None


def _four(box: Any) -> list[float]:
    try:
        left, top, width, height = (float(value) for value in box)
    except (TypeError, ValueError):
        return [float("nan")] * 4
    return [left, top, width, height]


def load_coco(file: Path) -> tuple[Mapping[str, Any], Annotations]:
    """Return ``images`` and ``categories`` of a file, and its annotations.

    Raises:
        DataError: If it is not COCO JSON of objects.
    """
    annotations = Annotations()
    try:
        about = json.loads(file.read_text(encoding="utf-8-sig"), object_hook=annotations.take)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(about, dict) or not all(isinstance(about.get(key), list) for key in SECTIONS):
        raise DataError(f"{file} is not COCO JSON of objects: it must have lists {', '.join(sorted(SECTIONS))}.")
    return about, annotations


@dataclass
class _Reading:
    """A listing in the making, of one file after the other."""

    root: Path
    index: "_ImageIndex"
    items: list[Item] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    table: ObjectTable = field(default_factory=ObjectTable)
    findings: list[Finding] = field(default_factory=list)
    crowds: int = 0

    def read(self, file: Path, split: str | None) -> None:
        about, annotations = load_coco(file)
        name, places = below(self.root, file), {}
        try:
            labels = self._labels(file, about["categories"])
            for image in about["images"]:
                if image["id"] in places:
                    raise DataError(f"{file}: image id {image['id']!r} is there twice; ids must be unique.")
                places[image["id"]] = len(self.items)
                path = self.index.find(file, image["file_name"], split)
                self.items.append(Item(path, split=split, annotation=name, extent=_extent(image)))
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{file}: an image or category has no {error}; images need id and file_name, categories id and name."
            ) from None
        self._add(name, annotations, places, labels)

    def _labels(self, file: Path, categories: Sequence[Mapping[str, Any]]) -> dict[Any, int]:
        """Return the label of each category id; files may number the same names differently."""
        for what in ("id", "name"):
            ((value, count),) = Counter(category[what] for category in categories).most_common(1) or [("", 0)]
            if count > 1:
                raise DataError(f"{file}: category {what} {value!r} is there twice.")
        labels = {}
        for category in sorted(categories, key=lambda category: (isinstance(category["id"], str), category["id"])):
            name = str(category["name"])
            if name not in self.classes:
                self.classes.append(name)
            labels[category["id"]] = self.classes.index(name)
        return labels

    def _add(self, file: str, found: Annotations, places: Mapping[Any, int], labels: Mapping[Any, int]) -> None:
        repeated = {key for key, count in Counter(found.ids).items() if count > 1 and key is not None}
        seen = set[Any]()
        for row, (key, image, category) in enumerate(zip(found.ids, found.images, found.categories, strict=True)):
            left, top, width, height = found.boxes[4 * row : 4 * row + 4]
            if found.crowds[row]:
                self.crowds += 1
            elif reason := self._dangling(image, category, places, labels) or (
                "its id is there twice" if key in repeated and key in seen else ""
            ):
                path = self.items[places[image]].path if image in places else ""
                self.findings.append(Finding(path, file, f"annotation {key}", reason))
            else:
                corners = (left, top, left + width, top + height)
                self.table.add(places[image], labels[category], corners, key if isinstance(key, int) else row)
            seen.add(key)

    @staticmethod
    def _dangling(image: Any, category: Any, places: Mapping[Any, int], labels: Mapping[Any, int]) -> str:
        if image not in places:
            return f"there is no image with id {image!r}"
        return "" if category in labels else f"there is no category with id {category!r}"

    def notes(self) -> tuple[str, ...]:
        notes = []
        unlisted = len(self.index.paths) - len({item.path for item in self.items})
        if self.crowds:
            notes.append(f"{self.crowds} annotations are of crowds (iscrowd) and are left out.")
        if unlisted > 0:
            notes.append(f"{unlisted} images in {self.root} are in no annotation file and are left out.")
        return tuple(notes)


class _ImageIndex:
    """Finds the image that a ``file_name`` means: people move images, and leave the names in the JSON as they were."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = frozenset(paths)
        self._by_name = defaultdict[str, list[str]](list)
        for path in paths:
            self._by_name[PurePosixPath(path).name].append(path)

    def find(self, file: Path, name: str, split: str | None) -> str:
        """Return the path of an image; ``name`` itself if it is nowhere, which decoding will say.

        Raises:
            DataError: If several images could be meant.
        """
        name = name.replace("\\", "/").removeprefix("./")
        alike = self._by_name.get(PurePosixPath(name).name, [])
        exact = [path for path in alike if path == name or path.endswith(f"/{name}")] or alike
        of_split = [path for path in exact if split and split_in(str(PurePosixPath(path).parent)) == split]
        found = of_split or exact
        if len(found) > 1:
            raise DataError(
                f"{file}: file_name {name!r} may be {found[0]!r} or {found[1]!r}; write its folder before it."
            )
        return found[0] if found else name


def _extent(image: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = (int(image.get(side) or 0) for side in ("width", "height"))
    return (width, height) if width > 0 and height > 0 else None


def _root(source: Path) -> Path:
    """Return the folder that images are searched below: for ``annotations/x.json`` the one above."""
    folder = source if source.is_dir() else source.parent
    return folder.parent if folder.name == "annotations" else folder


def find_json(source: Path) -> list[Path]:
    """Return the JSON files of objects; where some are called ``instances``, those.

    Raises:
        DataError: If there is none.
    """
    if source.is_file():
        return [source]
    found = [source / path for path in file_paths(source, {".json"})]
    found = [file for file in found if file.name.startswith("instances")] or [f for f in found if _looks_right(f)]
    if not found:
        raise DataError(f"{source} has no COCO JSON of objects: for layout: coco, dataset.path is one or its folder.")
    return found


def _looks_right(file: Path) -> bool:
    """Whether the text names the sections of COCO; files of captions have no categories."""
    text = file.read_bytes()
    return all(f'"{section}"'.encode() in text for section in SECTIONS)
