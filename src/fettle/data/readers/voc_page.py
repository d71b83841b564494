"""One file of Pascal VOC XML, with the line of every object; hostile XML is refused."""

import xml.sax
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import Locator

import defusedxml.sax
from defusedxml import DefusedXmlException

from fettle.errors import DataError

SIDES = ("xmin", "ymin", "xmax", "ymax")
Corners = tuple[float, float, float, float]


class UnreadableAnnotationError(DataError):
    """A file that is no annotation; the message is the reason without the file's name."""


@dataclass(frozen=True)
class Page:
    """What a file says.

    Attributes:
        filename: Of the image, which is often wrong.
        extent: Width and height in pixels, or ``None`` where they are missing or 0.
        objects: Name of the class, left, top, right, bottom in pixels (right and bottom excluded), and line.
        problems: Line and reason of each object that cannot be read.
        difficult: Objects that are marked so.
    """

    filename: str
    extent: tuple[int, int] | None
    objects: tuple[tuple[str, Corners, int], ...]
    problems: tuple[tuple[int, str], ...]
    difficult: int


def parse_page(file: Path) -> Page:
    """Read an XML file.

    Raises:
        DataError: If it declares entities, which no annotation needs and an XML bomb is made of.
        UnreadableAnnotationError: If it is not an annotation in well-formed XML.
    """
    handler = _Handler()
    try:
        defusedxml.sax.parseString(file.read_bytes(), handler)
    except DefusedXmlException as error:
        raise DataError(f"{file} declares entities or refers to other files ({error}): it is not read.") from None
    except xml.sax.SAXParseException as error:
        raise UnreadableAnnotationError(f"is not XML: line {error.getLineNumber()}, {error.getMessage()}") from None
    except OSError as error:
        raise UnreadableAnnotationError(f"cannot be read: {error}") from None
    if handler.root != "annotation":
        raise UnreadableAnnotationError(f"is not Pascal VOC: its root is <{handler.root}>, not <annotation>")
    return _page(handler.fields, handler.objects)


def _page(fields: Mapping[str, str], objects: list[dict[str, Any]]) -> Page:
    read, problems = [], []
    for found in objects:
        try:
            read.append((_text(found, "name"), _corners(found), found["line"]))
        except ValueError as error:
            problems.append((found["line"], str(error)))
    return Page(
        filename=fields.get("filename", ""),
        extent=_extent(fields),
        objects=tuple(read),
        problems=tuple(problems),
        difficult=sum(found.get("difficult") == "1" for found in objects),
    )


def _extent(fields: Mapping[str, str]) -> tuple[int, int] | None:
    try:
        width, height = int(float(fields["size/width"])), int(float(fields["size/height"]))
    except (KeyError, ValueError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _corners(found: Mapping[str, str]) -> Corners:
    """Pixels count from 1 and the last belongs to the box: xmin..xmax covers xmin - 1 up to xmax."""
    left, top, right, bottom = (float(_text(found, f"bndbox/{side}")) for side in SIDES)
    return left - 1, top - 1, right, bottom


def _text(found: Mapping[str, str], key: str) -> str:
    if not found.get(key):
        raise ValueError(f"the object has no <{key.replace('/', '><')}>")
    return found[key]


class _Handler(ContentHandler):
    """Keeps the texts of the annotation and of its objects by path; of parts of objects, nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.root = ""
        self.fields: dict[str, str] = {}
        self.objects: list[dict[str, Any]] = []
        self._locator = Locator()
        self._path: list[str] = []
        self._text: list[str] = []

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802
        self._locator = locator

    def startElement(self, name: str, attrs: object) -> None:  # noqa: N802
        del attrs
        self.root = self.root or name
        self._path.append(name)
        self._text.clear()
        if self._path[1:] == ["object"]:
            self.objects.append({"line": self._locator.getLineNumber()})

    def characters(self, content: str) -> None:
        self._text.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802
        del name
        inside = self._path[1:2] == ["object"]
        key = "/".join(self._path[2 if inside else 1 :])
        text = "".join(self._text).strip()
        if key and text:
            (self.objects[-1] if inside else self.fields).setdefault(key, text)
        self._path.pop()
        self._text.clear()
