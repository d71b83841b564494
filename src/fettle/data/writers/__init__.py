"""Writers: annotated images as files of a format that other tools read; :mod:`fettle.data.readers` reads them back."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fettle.data.writers.annotated import Annotated
from fettle.data.writers.coco import write_coco
from fettle.data.writers.voc import write_voc
from fettle.data.writers.yolo import write_yolo

# Writes annotations below a folder. By the name of the layout; castings are what their generator makes.
WRITERS: Mapping[str, Callable[[Path, Sequence[Annotated], Sequence[str]], None]] = {
    "yolo": write_yolo,
    "coco": write_coco,
    "voc": write_voc,
}
# Where the image of that name and split lies below the folder.
PLACES: Mapping[str, Callable[[str, str], str]] = {
    "yolo": "images/{1}/{0}".format,
    "coco": "images/{1}/{0}".format,
    "voc": "JPEGImages/{0}".format,
}
