"""Ingest for detectors: checks, splits, what is stored."""

import json

import numpy as np
import pytest
from PIL import Image, ImageOps

from fettle.data import open_dataset
from fettle.data.castings import make_castings
from fettle.data.castings.defects import DEFECTS
from fettle.data.resize import resize
from fettle.errors import DataError, SpecError
from fettle.spec import SPLITS, DatasetConfig
from fettle.steps.ingest import ingest

GOOD = (0, 4, 3, 20, 15)


def run(source, out, *, image_size=32, layout="yolo", **config):
    config = DatasetConfig(path=str(source), layout=layout, **config)
    ingest(source, out, dataset=config, image_size=image_size, task="detect")
    return open_dataset(out)


def findings(out):
    return [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]


def some(count=24, **more):
    """Images of both classes, every fourth without an object, and ``more`` in the training split."""
    boxes = {0: [GOOD], 1: [(1, 0, 0, 40, 30)], 2: [GOOD, (1, 10, 10, 30, 25)], 3: []}
    return {f"train/{i:03d}": boxes[i % 4] for i in range(count)} | {f"train/{name}": it for name, it in more.items()}


@pytest.mark.parametrize("mode", ["squash", "pad"])
def test_boxes_are_stored_where_the_objects_are(make_yolo, tmp_path, mode):
    """A white rectangle is drawn on each image; its pixels are found again at the stored box."""
    source = make_yolo(some())
    for file in sorted(source.rglob("*.png")):
        image = np.zeros((30, 40, 3), np.uint8)
        image[..., 0] = int(file.stem) * 5
        image[3:15, 4:20] = 255
        Image.fromarray(image).save(file)
    dataset = run(source, tmp_path / "out", resize=mode, image_size=64)
    for row, image in enumerate(dataset.images):
        xyxy, labels = dataset.boxes.of(row)
        for left, top, right, bottom in xyxy[labels == 0]:
            ys, xs = np.nonzero(image[..., 1] > 127)
            np.testing.assert_allclose([left, top], [xs.min(), ys.min()], atol=1)
            np.testing.assert_allclose([right, bottom], [xs.max() + 1, ys.max() + 1], atol=1)
    areas = dataset.boxes.areas[dataset.boxes.labels == 0]
    np.testing.assert_allclose(areas, 16 * 12, rtol=1e-5)


def test_counts_weights_and_background_are_told(make_yolo, tmp_path):
    dataset = run(make_yolo(some(forgotten=None)), tmp_path / "out")
    assert sum(sum(counts.values()) for counts in dataset.counts.values()) == 24
    assert all(len(dataset.subset(split)) for split in SPLITS)
    for split, counts in dataset.counts.items():
        found = np.bincount(dataset.subset(split).boxes.labels, minlength=2).tolist()
        assert dict(zip(dataset.classes, found, strict=True)) == counts
    train = np.array(list(dataset.counts["train"].values()))
    np.testing.assert_allclose(dataset.class_weights, train.sum() / (2 * train))
    summary = dataset.artifact.card.summary
    assert (summary["boxes"], summary["background_images"], summary["images_without_annotation"]) == (24, 7, 1)
    by_class = dataset.statistics["boxes"]["by_class"]
    assert {name: (found["boxes"], found["images"]) for name, found in by_class.items()} == {
        "bolt": (12, 12), "nut": (12, 12),
    }  # fmt: skip
    assert by_class["nut"]["sizes"] == {"small": 6, "medium": 6, "large": 0}
    assert by_class["bolt"]["width"]["p50"] == pytest.approx(0.4, abs=1e-3)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 nan 0.5 0.1 0.1", "not a number"),
        ("0 inf 0.5 0.1 0.1", "not a number"),
        ("0 0.5 0.5 -0.1 0.1", "negative"),
        ("0 0.5 0.5 0 0.1", "width or height is zero"),
        ("0 1.5 0.5 0.2 0.2", "outside the image"),
        ("0 0.9 0.5 0.4 0.2", "outside the image"),
        ("2 0.5 0.5 0.1 0.1", r"class is not in 0..1"),
        ("-1 0.5 0.5 0.1 0.1", r"class is not in 0..1"),
        ("0 0.3 0.3 0.4 0.4", "the same box is there before"),
        ("0 0.5 0.5 0.1", "has 4 values"),
    ],
)
def test_an_invalid_box_is_listed_with_file_and_line(make_yolo, tmp_path, line, reason, caplog):
    source = make_yolo(some(bad=[GOOD, line]))
    with pytest.raises(DataError, match=rf"labels/train/bad.txt, line 2: .*{reason}.*max_invalid_boxes=0.01"):
        run(source, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    dataset = run(source, tmp_path / "out", max_invalid_boxes=0.1)
    (found,) = findings(tmp_path / "out")
    assert (found["path"], found["file"], found["place"]) == ("images/train/bad.png", "labels/train/bad.txt", "line 2")
    assert "1 of 26 boxes" in caplog.text
    assert dataset.artifact.card.summary["invalid_boxes"] == 1
    assert len(dataset.boxes.labels) == 25


def test_a_pixel_of_overhang_is_clipped(make_yolo, tmp_path):
    dataset = run(make_yolo(some(edge=[(0, -0.9, 5, 41, 30.5)])), tmp_path / "out", image_size=40)
    row = next(i for i, record in enumerate(dataset.records) if "edge" in record.path)
    np.testing.assert_allclose(dataset.boxes.of(row)[0], [[0, 5 * 40 / 30, 40, 40]], rtol=1e-5)


@pytest.mark.parametrize(
    ("orientation", "stored"), [*((each, False) for each in range(1, 9)), *((each, True) for each in range(5, 9))]
)
def test_boxes_follow_the_rotation_of_the_image(make_voc, voc, tmp_path, orientation, stored):
    """Boxes are of the image as displayed, or of the stored one where width and height say so."""
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[3:15, 4:20] = 255
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    names = [f"{n}.png" for n in range(8)]
    source = make_voc({}, names)
    image.save(source / "turned.png", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(source / "turned.png")))
    ys, xs = np.nonzero(upright[..., 0])
    shown = ("bolt", xs.min() + 1, ys.min() + 1, xs.max() + 1, ys.max() + 1)
    size = (upright.shape[1], upright.shape[0])
    page = voc(("bolt", 5, 4, 20, 15), size=(40, 30)) if stored else voc(shown, size=size)
    for name in names:
        (source / name).with_suffix(".xml").write_text(voc(("bolt", 5, 4, 20, 15)))
    (source / "turned.xml").write_text(page)
    dataset = run(source, tmp_path / "out", layout="voc", image_size=64)
    row = next(i for i, record in enumerate(dataset.records) if record.path == "turned.png")
    ys, xs = np.nonzero(resize(upright, 64)[..., 0] > 127)
    ((left, top, right, bottom),), _ = dataset.boxes.of(row)
    np.testing.assert_allclose([left, top, right, bottom], [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], atol=1.1)


def test_an_image_of_another_size_than_annotated_is_left_out(make_voc, voc, tmp_path):
    pages = {f"{n}.xml": voc(("bolt", 5, 4, 20, 15), size=(400, 300) if n == 9 else (40, 30)) for n in range(10)}
    source = make_voc(pages, [f"{n}.png" for n in range(10)])
    with pytest.raises(DataError, match=r"'9.png' has 40x30 pixels, but 9.xml is of an image of 400x300"):
        run(source, tmp_path / "out", layout="voc")
    dataset = run(source, tmp_path / "out", layout="voc", max_broken=0.2)
    assert len(dataset.records) == 9
    assert findings(tmp_path / "out")[0]["path"] == "9.png"


def test_a_thousand_boxes_in_an_image(make_yolo, tmp_path):
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 20, (1000, 2))
    boxes = [(int(i % 2), x, y, x + 5, y + 5) for i, (x, y) in enumerate(corners.tolist())]
    dataset = run(make_yolo(some(crowd=boxes)), tmp_path / "out")
    assert dataset.boxes.counts.max() == 1000
    assert (tmp_path / "out" / "grid.jpg").stat().st_size > 1000


@pytest.mark.parametrize("boxes", [[], None])
def test_a_data_set_without_boxes_is_refused(make_yolo, tmp_path, boxes):
    source = make_yolo({f"train/{i}": boxes for i in range(12)})
    with pytest.raises(DataError, match="12 images and not a single box"):
        run(source, tmp_path / "out")


def test_only_invalid_boxes_are_refused(make_yolo, tmp_path):
    source = make_yolo({f"train/{i}": ["0 nan 0 0 0"] for i in range(12)})
    with pytest.raises(DataError, match=r"12 of 12 boxes.*None is left"):
        run(source, tmp_path / "out", max_invalid_boxes=1)


def test_a_class_that_val_lacks_is_said_and_a_split_without_objects_refused(make_yolo, tmp_path, caplog):
    boxes = some() | {f"val/{i}": [GOOD] for i in range(4)}
    run(make_yolo(boxes), tmp_path / "out")
    assert "Class 'nut', on 12 images, is on none in val" in caplog.text
    boxes = some() | {f"val/{i}": [] for i in range(4)}
    with pytest.raises(DataError, match="No image in val holds an object"):
        run(make_yolo(boxes, name="other"), tmp_path / "out")


def test_copies_with_other_boxes_are_said_and_the_fuller_kept(make_yolo, tmp_path, caplog):
    source = make_yolo(some(a=[GOOD], b=[GOOD, (1, 1, 1, 9, 9)]))
    (source / "images/train/a.png").write_bytes((source / "images/train/b.png").read_bytes())
    dataset = run(source, tmp_path / "out")
    assert "1 images come several times with other objects" in caplog.text
    assert "images/train/b.png" in {record.path for record in dataset.records}
    (entry,) = json.loads((tmp_path / "out" / "duplicates.json").read_text())["exact"]
    assert entry["differing"] == ["images/train/a.png"]


def test_cropping_is_refused(make_yolo, tmp_path):
    with pytest.raises(SpecError, match=r"dataset\.resize 'crop' cuts"):
        run(make_yolo(some()), tmp_path / "out", resize="crop")


def test_names_do_not_matter(make_yolo, tmp_path):
    boxes = some()
    first = run(make_yolo(boxes, name="first"), tmp_path / "a")
    source = make_yolo(boxes, name="second")
    for kind, suffix in (("images", "png"), ("labels", "txt")):
        for number in range(24):
            file = source / kind / "train" / f"{number:03d}.{suffix}"
            file.rename(file.with_name(f"x{(number * 7) % 24:03d}.{suffix}"))
    second = run(source, tmp_path / "b")
    assert [record.split for record in first.records] == [record.split for record in second.records]
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.boxes.xyxy, second.boxes.xyxy)


def test_castings_have_their_defects(tmp_path):
    make_castings(tmp_path / "source", count=40)
    dataset = run(tmp_path / "source", tmp_path / "out", layout="castings", count=40, image_size=128)
    assert dataset.classes == tuple(sorted(DEFECTS))
    about = json.loads((tmp_path / "source" / "boxes.json").read_text())["boxes"]
    for row, record in enumerate(dataset.records):
        xyxy, labels = dataset.boxes.of(row)
        expected = [[box[side] for side in ("left", "top", "right", "bottom")] for box in about[record.path]]
        np.testing.assert_array_equal(xyxy, np.array(expected, np.float32).reshape(-1, 4))
        assert [dataset.classes[label] for label in labels] == [box["kind"] for box in about[record.path]]
