from pathlib import Path

import numpy as np
import pytest

from fettle.data.readers import read
from fettle.data.readers.yolo import label_file
from fettle.errors import DataError
from fettle.spec import DatasetConfig


def listed(source):
    return read(source, DatasetConfig(layout="yolo"), task="detect")


def splits(listing):
    return {item.path: item.split for item in listing.items}


def test_boxes_splits_and_lines(make_yolo):
    source = make_yolo(
        {"train/a": [(0, 4, 3, 20, 15), (1, 0, 0, 40, 30)], "val/b": [(1, 10, 10, 12, 12)], "test/c": []}
    )
    listing = listed(source)
    assert splits(listing) == {"images/train/a.png": "train", "images/val/b.png": "val", "images/test/c.png": "test"}
    assert listing.classes == ("bolt", "nut")
    boxes = listing.objects
    paths = [listing.items[item].path for item in boxes.items]
    assert sorted(zip(paths, boxes.labels.tolist(), boxes.places.tolist(), strict=True)) == [
        ("images/train/a.png", 0, 1), ("images/train/a.png", 1, 2), ("images/val/b.png", 1, 1),
    ]  # fmt: skip
    first = next(row for row in range(3) if paths[row].endswith("a.png"))
    np.testing.assert_allclose(boxes.xyxy[first] * [40, 30, 40, 30], [4, 3, 20, 15])


def test_the_file_itself_may_be_given(make_yolo):
    source = make_yolo({"train/a": [(0, 4, 3, 20, 15)]})
    assert listed(source / "data.yaml").items == listed(source).items


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ("train: images/train", {"a", "b"}),
        ("train: ../images/train", {"a", "b"}),  # Roboflow
        ("train: [images/train, images/more]", {"a", "b", "c"}),
        ("train: list.txt", {"a", "c"}),
        ("path: nowhere\ntrain: images/train", {"a", "b"}),
        ("path: images\ntrain: train", {"a", "b"}),
    ],
)
def test_where_images_may_be_named(make_yolo, entry, wanted):
    source = make_yolo({"train/a": [], "train/b": [], "more/c": []})
    (source / "list.txt").write_text("./images/train/a.png\n\nimages/more/c.png\n")
    (source / "data.yaml").write_text(f"names: [bolt]\n{entry}\n")
    listing = listed(source)
    assert {item.path.rpartition("/")[2][0] for item in listing.items} == wanted
    assert all(item.annotation for item in listing.items)


def test_names_may_be_numbered(make_yolo):
    source = make_yolo({"train/a": []})
    (source / "data.yaml").write_text("names: {1: nut, 0: bolt}\ntrain: images/train\n")
    assert listed(source).classes == ("bolt", "nut")


def test_an_image_in_two_splits_is_listed_once_for_the_test(make_yolo):
    source = make_yolo({"train/a": [], "train/b": []})
    (source / "test.txt").write_text("images/train/a.png\n")
    (source / "data.yaml").write_text("names: [bolt]\ntrain: images/train\ntest: test.txt\n")
    assert splits(listed(source)) == {"images/train/a.png": "test", "images/train/b.png": "train"}


def test_download_is_never_run(make_yolo, tmp_path):
    mark = tmp_path / "mark"
    source = make_yolo({"train/a": []}, about=f"download: |\n  open({str(mark)!r}, 'w')\n")
    assert any("never runs" in note for note in listed(source).notes)
    assert not mark.exists()


def test_tags_that_make_objects_are_refused(make_yolo, tmp_path):
    source = make_yolo({"train/a": []}, about="x: !!python/object/apply:os.mkdir ['made']\n")
    with pytest.raises(DataError, match="cannot be read as YAML"):
        listed(source)


def test_missing_label_files_are_counted_and_empty_ones_are_not(make_yolo):
    listing = listed(make_yolo({"train/a": None, "train/b": [], "train/c": [(0, 1, 1, 9, 9)]}))
    assert [item.annotation for item in listing.items] == ["", "labels/train/b.txt", "labels/train/c.txt"]
    assert any("1 of 3 images have no label file" in note for note in listing.notes)


def test_outlines_become_boxes(make_yolo):
    listing = listed(make_yolo({"train/a": ["0 0.1 0.2 0.5 0.1 0.3 0.6", "1 .1 .1 .3 .1 .3 .4 .1 .4"]}))
    np.testing.assert_allclose(listing.objects.xyxy, [[0.1, 0.1, 0.5, 0.6], [0.1, 0.1, 0.3, 0.4]])
    assert any("2 outlines" in note for note in listing.notes)


def test_keypoints_are_left_out(make_yolo):
    source = make_yolo({"train/a": ["0 0.5 0.5 0.2 0.2 " + "0.1 0.1 2 " * 2]}, about="kpt_shape: [2, 3]\n")
    np.testing.assert_allclose(listed(source).objects.xyxy, [[0.4, 0.4, 0.6, 0.6]])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.5 0.5 0.1", "has 4 values"),
        ("0 0.5 0.5 0.1 0.1 0.9", "has 6 values"),
        ("bolt 0.5 0.5 0.1 0.1", "could not convert string to float: 'bolt'"),
        ("0.5 0.5 0.5 0.1 0.1", "class '0.5' is not a whole number"),
        ("nan 0.5 0.5 0.1 0.1", "integer"),
        ("0 0,5 0,5 0,1 0,1", "could not convert"),
    ],
)
def test_a_line_that_is_no_box_is_found(make_yolo, line, reason):
    (finding,) = listed(make_yolo({"train/a": ["0 0.5 0.5 0.1 0.1", "", line]})).findings
    assert (finding.path, finding.file, finding.place) == ("images/train/a.png", "labels/train/a.txt", "line 3")
    assert reason in finding.reason


def test_a_label_file_that_is_no_text_breaks_its_image(make_yolo):
    source = make_yolo({"train/a": [], "train/b": []})
    (source / "labels/train/a.txt").write_bytes(b"\xff\xfe0 0.5")
    listing = listed(source)
    assert [one.item.path for one in listing.broken] == ["images/train/a.png"]
    assert "labels/train/a.txt cannot be read" in listing.broken[0].reason
    assert len(listing.items) == 1


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("train: images/train", "`names` must list the classes"),
        ("names: [a, a]\ntrain: images/train", "has a class twice"),
        ("names: {1: a}\ntrain: images/train", "number them from 0"),
        ("names: [a]\nnc: 2\ntrain: images/train", "`nc` is 2, but there are 1"),
        ("names: [a]\ntrain: images/absent", "`train` is 'images/absent'"),
        ("names: [a", "cannot be read as YAML"),
        ("- names", "must map"),
        ("names: [a]", "no labelled image"),
    ],
)
def test_a_wrong_data_yaml_is_refused(make_yolo, about, message):
    source = make_yolo({"train/a": []})
    (source / "data.yaml").write_text(about)
    with pytest.raises(DataError, match=message):
        listed(source)


def test_a_split_that_does_not_exist_is_said(make_yolo):
    listing = listed(make_yolo({"train/a": []}, about="test: images/test\n"))
    assert any("`test` is 'images/test', which does not exist" in note for note in listing.notes)


def test_a_folder_without_data_yaml_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no data\.yaml"):
        listed(tmp_path)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("/images/x/images/train/a.jpg", "/images/x/labels/train/a.txt"),
        ("/d/train/a.b.jpg", "/d/train/a.b.txt"),
        ("/d/images/a.jpg", "/d/labels/a.txt"),
    ],
)
def test_labels_lie_in_place_of_the_last_images(image, label):
    assert label_file(Path(image)) == Path(label)


def test_classification_layout_is_refused(make_yolo):
    with pytest.raises(DataError, match="'imagefolder' has no boxes: for task 'detect' it is one of yolo, coco, voc"):
        read(make_yolo({"train/a": []}), DatasetConfig(), task="detect")
