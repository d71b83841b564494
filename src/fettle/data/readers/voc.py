"""Reader of Pascal VOC: an XML file an image (http://host.robots.ox.ac.uk/pascal/VOC/)."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fettle.data.listing import Broken, Finding, Item, Listing, ObjectTable
from fettle.data.readers.files import file_paths, image_paths, split_in
from fettle.data.readers.voc_page import Page, UnreadableAnnotationError, parse_page
from fettle.errors import DataError
from fettle.spec import SPLITS, DatasetConfig

SETS = {split: f"ImageSets/Main/{split}.txt" for split in SPLITS}
# Words for the two kinds of folder; what is left of a folder's name tells which belong together.
KINDS = re.compile(r"jpegimages|annotations?|images?|imgs?|labels?|xmls?|[^a-z0-9]+")


def read_voc(source: Path, config: DatasetConfig) -> Listing:
    """An XML file an image, anywhere below the folder; the image has its name and lies beside or in a sibling folder.

    Splits are those of ``ImageSets/Main``, else of the folders' names. Pixels count from 1 and the last one belongs to
    the box, as the format has it. Difficult objects count like others. Images without a file are left out.
    """
    del config
    files, sets = file_paths(source, {".xml"}), _image_sets(source)
    reading = _Reading(source, _ImageFinder(image_paths(source)), sets)
    for file in files:
        reading.read(file)
    classes = tuple(sorted({name for page in reading.pages for name, _, _ in page.objects}))
    return Listing(
        root=source,
        items=tuple(reading.items),
        classes=classes,
        objects=_table(reading.pages, classes).objects(),
        broken=tuple(reading.broken),
        findings=tuple(reading.findings),
        notes=reading.notes(),
        files=(*files, *(name for name in SETS.values() if sets and (source / name).is_file())),
    )


def _table(pages: Sequence[Page], classes: Sequence[str]) -> ObjectTable:
    table, labels = ObjectTable(), {name: label for label, name in enumerate(classes)}
    for index, page in enumerate(pages):
        for name, corners, line in page.objects:
            table.add(index, labels[name], corners, line)
    return table


@dataclass
class _Reading:
    """A listing in the making; page i is that of item i."""

    root: Path
    finder: "_ImageFinder"
    sets: Mapping[str, str]
    items: list[Item] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    outside: int = 0

    def read(self, file: str) -> None:
        split = self.sets.get(PurePosixPath(file).stem) or (None if self.sets else split_in(_folder(file)))
        if self.sets and split is None:
            self.outside += 1
            return
        try:
            page = parse_page(self.root / file)
        except UnreadableAnnotationError as error:
            self.broken.append(Broken(Item(self.finder.find(file, ""), annotation=file), f"{file} {error}"))
            return
        item = Item(self.finder.find(file, page.filename), split=split, annotation=file, extent=page.extent)
        self.items.append(item)
        self.pages.append(page)
        self.findings += [Finding(item.path, file, f"line {line}", reason) for line, reason in page.problems]

    def notes(self) -> tuple[str, ...]:
        difficult = sum(page.difficult for page in self.pages)
        bare = len(self.finder.paths) - len({item.path for item in self.items}) - len(self.broken) - self.outside
        counts = {
            "images have no XML file and are left out; forgotten? One without objects says that background is meant.": (
                bare
            ),
            "annotated images are in none of ImageSets/Main and are left out.": self.outside,
            "objects are marked difficult and count like the others.": difficult,
        }
        return tuple(f"{self.root}: {count} {text}" for text, count in counts.items() if count > 0)


class _ImageFinder:
    """Finds the image of an XML file: by the name of the file first, for what is written inside is often wrong."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self._by_stem = defaultdict[str, list[str]](list)
        for path in paths:
            self._by_stem[PurePosixPath(path).stem].append(path)

    def find(self, file: str, filename: str) -> str:
        """Return the image's path; where there is none, the name that decoding will not find.

        Raises:
            DataError: If several images could be meant.
        """
        inside = PurePosixPath(filename.replace("\\", "/"))
        alike = self._by_stem.get(PurePosixPath(file).stem) or self._by_stem.get(inside.stem) or []
        near = [path for path in alike if _family(path) == _family(file)] or alike
        found = [path for path in near if _folder(path) == _folder(file)] or near
        found = [path for path in found if PurePosixPath(path).name == inside.name] or found
        if len(found) > 1:
            raise DataError(f"{file}: its image may be {found[0]!r} or {found[1]!r}; give one of them another name.")
        return found[0] if found else str(PurePosixPath(file).with_name(inside.name or PurePosixPath(file).stem))


def _folder(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _family(path: str) -> str:
    """Return what folders of images and of annotations that belong together have in common."""
    return "/".join(filter(None, (KINDS.sub("", part) for part in _folder(path).lower().split("/"))))


def _image_sets(source: Path) -> dict[str, str]:
    """Return the split of each name in ``ImageSets/Main``; empty if there is none."""
    sets = dict[str, str]()
    for split, name in SETS.items():
        if (source / name).is_file():
            lines = (source / name).read_text(encoding="utf-8-sig").splitlines()
            sets |= {line.strip(): split for line in lines if line.strip()}
    return sets
