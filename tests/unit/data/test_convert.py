import itertools

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fettle.cli.app import app
from fettle.data.castings import make_castings
from fettle.data.convert import convert
from fettle.data.readers import read
from fettle.errors import DataError, SpecError
from fettle.spec import DatasetConfig

BOXES = {
    "train/a": [(0, 4, 3, 20, 15), (1, 0, 0, 40, 30)],
    "train/b": [],
    "val/c": [(1, 10, 10, 12, 12)],
    "test/d <&> é": [(0, 39, 29, 40, 30)],
}
FORMATS = ("yolo", "coco", "voc")


def boxes(source, layout):
    """Return class names and corners in pixels by file name and split."""
    listing = read(source, DatasetConfig(layout=layout), task="detect")
    assert not listing.findings
    found = {(item.path.rpartition("/")[2], item.split): [] for item in listing.items}
    for item, label, corners in zip(listing.objects.items, listing.objects.labels, listing.objects.xyxy, strict=True):
        it = listing.items[item]
        scale = [40, 30, 40, 30] if listing.objects.relative else [1] * 4
        found[it.path.rpartition("/")[2], it.split].append((listing.classes[label], *(corners * scale).round(2)))
    return {key: sorted(value) for key, value in found.items()}


@pytest.mark.parametrize(("first", "second"), itertools.product(FORMATS, repeat=2))
def test_any_as_any_other_and_back(make_yolo, tmp_path, first, second):
    source = make_yolo(BOXES)
    expected = boxes(source, "yolo")
    assert len(expected) == 4
    convert(source, tmp_path / "first", read_as="yolo", write_as=first)
    assert boxes(tmp_path / "first", first) == expected
    done = convert(tmp_path / "first", tmp_path / "second", read_as=first, write_as=second, link=True)
    assert boxes(tmp_path / "second", second) == expected
    assert (done.images, done.boxes, done.broken, done.invalid) == (4, 4, 0, 0)
    for file in (tmp_path / "second").rglob("*.png"):
        assert file.is_symlink()
        assert Image.open(file).size == (40, 30)


@pytest.mark.parametrize("layout", FORMATS)
def test_castings_as_any(tmp_path, layout):
    make_castings(tmp_path / "source", count=20, size=64)
    convert(tmp_path / "source", tmp_path / "out", read_as="castings", write_as=layout)
    before = read(tmp_path / "source", DatasetConfig(layout="castings"), task="detect")
    after = read(tmp_path / "out", DatasetConfig(layout=layout), task="detect")
    assert len(after.items) == 20
    assert len(after.objects) == len(before.objects)
    assert {item.split for item in after.items} <= {"train", None}


@pytest.mark.parametrize("layout", ["yolo", "coco"])
def test_fractions_of_pixels_are_kept(make_yolo, tmp_path, layout):
    source = make_yolo({"train/a": [(0, 4.25, 3.5, 20.75, 15.125)]})
    convert(source, tmp_path / "out", read_as="yolo", write_as=layout)
    listing = read(tmp_path / "out", DatasetConfig(layout=layout), task="detect")
    scale = [40, 30, 40, 30] if layout == "yolo" else 1
    np.testing.assert_allclose(listing.objects.xyxy * scale, [[4.25, 3.5, 20.75, 15.125]], atol=2e-3)


def test_invalid_boxes_and_broken_images_are_left_out(make_yolo, tmp_path):
    good = {f"train/{i}": [(0, 1, 1, 9, 9), (1, 2 + i / 40, 2, 12, 12)] for i in range(60)}
    source = make_yolo({**good, "train/bad": ["0 nan 1 1 1"], "train/broken": [(0, 1, 1, 9, 9)]})
    (source / "images/train/broken.png").write_bytes(b"")
    done = convert(source, tmp_path / "out", read_as="yolo", write_as="coco")
    assert (done.images, done.boxes, done.broken, done.invalid) == (61, 120, 1, 1)
    assert "labels/train/bad.txt" in (tmp_path / "out" / "quarantine.jsonl").read_text()


def test_nothing_is_left_after_a_mistake(make_yolo, tmp_path):
    source = make_yolo({"train/a": ["0 nan 1 1 1", (0, 1, 1, 9, 9)]})
    with pytest.raises(DataError, match="max_invalid_boxes"):
        convert(source, tmp_path / "out", read_as="yolo", write_as="coco")
    with pytest.raises(SpecError, match="`--to` must be one of yolo, coco, voc, got 'csv'"):
        convert(source, tmp_path / "out", read_as="yolo", write_as="csv")
    with pytest.raises(SpecError, match="`--from` must be one of yolo"):
        convert(source, tmp_path / "out", read_as="csv", write_as="yolo")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    with pytest.raises(DataError, match="is there already"):
        convert(source, source, read_as="yolo", write_as="coco")


def test_two_images_of_one_name_are_refused(make_yolo, tmp_path):
    source = make_yolo({"train/a": [(0, 1, 1, 9, 9)], "val/a": [(0, 1, 1, 9, 9)]})
    convert(source, tmp_path / "coco", read_as="yolo", write_as="coco")
    with pytest.raises(DataError, match=r"'images/val/a.png' and 'images/train/a.png' would have the same name"):
        convert(source, tmp_path / "voc", read_as="yolo", write_as="voc")


def test_the_command_prints_the_folder(make_yolo, tmp_path):
    arguments = [str(make_yolo(BOXES)), str(tmp_path / "out"), "--from", "yolo", "--to", "voc"]
    done = CliRunner().invoke(app, ["convert", *arguments])
    assert (done.exit_code, done.stdout.strip()) == (0, str(tmp_path / "out"))
    assert "4 images, 4 boxes" in done.stderr
