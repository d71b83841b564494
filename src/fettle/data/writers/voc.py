"""Writer of Pascal VOC XML."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from fettle.data.writers.annotated import Annotated, by_split


def write_voc(folder: Path, images: Sequence[Annotated], classes: Sequence[str]) -> None:
    """Write ``Annotations/<name>.xml`` and ``ImageSets/Main/<split>.txt``; boxes are rounded to whole pixels."""
    annotations, sets = folder / "Annotations", folder / "ImageSets" / "Main"
    for place in (annotations, sets):
        place.mkdir(parents=True)
    for split, of_split in by_split(images):
        (sets / f"{split}.txt").write_text("".join(f"{image.stem}\n" for image in of_split), encoding="utf-8")
        for image in of_split:
            page = ElementTree.ElementTree(_page(image, classes))
            ElementTree.indent(page)
            page.write(annotations / f"{image.stem}.xml", encoding="utf-8")


def _page(image: Annotated, classes: Sequence[str]) -> ElementTree.Element:
    page = _element("annotation", {"folder": "JPEGImages", "filename": image.name})
    page.append(_element("size", {"width": image.width, "height": image.height, "depth": 3}))
    for label, (left, top, right, bottom) in zip(image.labels.tolist(), image.xyxy.round().tolist(), strict=True):
        entry = _element("object", {"name": classes[label], "truncated": 0, "difficult": 0})
        # Pixels count from 1 and the last one belongs to the box, which has one at least.
        corners = {"xmin": left + 1, "ymin": top + 1, "xmax": max(right, left + 1), "ymax": max(bottom, top + 1)}
        entry.append(_element("bndbox", {side: int(value) for side, value in corners.items()}))
        page.append(entry)
    return page


def _element(name: str, texts: dict[str, str | int]) -> ElementTree.Element:
    element = ElementTree.Element(name)
    for key, text in texts.items():
        ElementTree.SubElement(element, key).text = str(text)
    return element
