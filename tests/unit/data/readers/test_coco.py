import json

import numpy as np
import pytest

from fettle.data.readers import read
from fettle.errors import DataError
from fettle.spec import DatasetConfig

A, B = {"id": 1, "file_name": "a.png"}, {"id": 20, "file_name": "sub/b.png"}


def box(key, image=1, category=3, bbox=(4, 3, 16, 12), **more):
    return {"id": key, "image_id": image, "category_id": category, "bbox": list(bbox), **more}


def listed(source):
    return read(source, DatasetConfig(layout="coco"), task="detect")


def test_ids_become_labels_and_boxes_corners(make_coco):
    listing = listed(make_coco([A, B], [box(5), box(6, image=20, category=7, bbox=(0, 0, 40, 30)), box(9, category=7)]))
    assert [(item.path, item.extent, item.split) for item in listing.items] == [
        ("a.png", (40, 30), None), ("sub/b.png", (40, 30), None),
    ]  # fmt: skip
    assert listing.classes == ("bolt", "nut")
    np.testing.assert_array_equal(listing.objects.items, [0, 0, 1])
    np.testing.assert_array_equal(listing.objects.labels, [0, 1, 1])
    np.testing.assert_array_equal(listing.objects.places, [5, 9, 6])
    np.testing.assert_array_equal(listing.objects.xyxy[0], [4, 3, 20, 15])


def test_annotations_may_come_before_images(make_coco):
    file = make_coco([A], [box(5, segmentation=[[0, 0, 4, 4]])])
    about = json.loads(file.read_text())
    file.write_text(json.dumps({key: about[key] for key in ("annotations", "categories", "images")}))
    assert len(listed(file).objects) == 1


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (box(6, image=99), "no image with id 99"),
        (box(6, category=4), "no category with id 4"),
        (box(5, bbox=(1, 1, 5, 5)), "its id is there twice"),
    ],
)
def test_dangling_and_duplicate_ids_are_found(make_coco, entry, reason):
    listing = listed(make_coco([A, B], [box(5), entry]))
    (finding,) = listing.findings
    assert reason in finding.reason
    assert (finding.file, finding.place) == ("annotations.json", f"annotation {entry['id']}")
    assert len(listing.objects) == 1


@pytest.mark.parametrize("bbox", [None, [1, 2, 3], "text", [1, 2, 3, None], [1, 2, "x", 4]])
def test_a_bbox_of_another_form_is_not_a_number(make_coco, bbox):
    listing = listed(make_coco([A], [box(5), {**box(6), "bbox": bbox}]))
    assert np.isnan(listing.objects.xyxy[1]).all()


def test_crowds_are_left_out_with_a_word(make_coco):
    listing = listed(make_coco([A], [box(5), box(6, iscrowd=1)]))
    assert len(listing.objects) == 1
    assert any("1 annotations are of crowds" in note for note in listing.notes)


def test_images_that_are_not_listed_are_left_out_with_a_word(make_coco, make_folder):
    listing = listed(make_coco([A], [box(5)]))
    (listing.root / "c.png").write_bytes((listing.root / "a.png").read_bytes())
    again = listed(listing.root)
    assert len(again.items) == 1
    assert any("1 images" in note for note in again.notes)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"images": [A, {**B, "id": 1}]}, "image id 1 is there twice"),
        ({"images": [{"id": 1}]}, "an image or category has no 'file_name'"),
        ({"categories": [{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]}, "category id 3 is there twice"),
        ({"categories": [{"id": 3, "name": "a"}, {"id": 4, "name": "a"}]}, "category name 'a' is there twice"),
        ({"categories": None}, "not COCO JSON of objects"),
    ],
)
def test_a_wrong_file_is_refused(make_coco, sections, message):
    file = make_coco([A], [box(5)])
    file.write_text(json.dumps(json.loads(file.read_text()) | sections))
    with pytest.raises(DataError, match=message):
        listed(file)


@pytest.mark.parametrize("text", ["{", "[1]", "\x00", "[" * 100_000])
def test_what_is_not_coco_json_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match="JSON"):
        listed(tmp_path / "a.json")


def test_folder_of_files_whose_names_tell_the_splits(make_coco):
    file = make_coco([A, B], [box(5), box(6, image=20)])
    about, root = json.loads(file.read_text()), file.parent
    file.unlink()
    (root / "annotations").mkdir()
    for split, image in (("train2017", A), ("val2017", {**B, "file_name": "b.png"})):
        found = [each for each in about["annotations"] if each["image_id"] == image["id"]]
        text = json.dumps({**about, "images": [image], "annotations": found})
        (root / "annotations" / f"instances_{split}.json").write_text(text)
        (root / "annotations" / f"captions_{split}.json").write_text("{}")
    listing = listed(root)
    assert [(item.path, item.split) for item in listing.items] == [("a.png", "train"), ("sub/b.png", "val")]
    assert len(listing.objects) == 2
    assert listing.files == ("annotations/instances_train2017.json", "annotations/instances_val2017.json")


def test_the_same_file_name_in_two_splits(tmp_path, make_coco):
    """As Roboflow exports them: a folder a split, with the JSON among the images."""
    file = make_coco([{"id": 1, "file_name": "train/a.png"}, {"id": 2, "file_name": "valid/a.png"}], [box(5)])
    about, root = json.loads(file.read_text()), file.parent
    file.unlink()
    for split in ("train", "valid"):
        text = json.dumps({**about, "images": [A]})
        (root / split / "_annotations.coco.json").write_text(text)
    assert {item.path: item.split for item in listed(root).items} == {"train/a.png": "train", "valid/a.png": "val"}


def test_a_file_name_that_may_be_two_images_is_refused(make_coco):
    file = make_coco([{"id": 1, "file_name": "x/a.png"}, {"id": 2, "file_name": "y/a.png"}], [box(5)])
    file.write_text(file.read_text().replace("x/a.png", "a.png"))
    with pytest.raises(DataError, match=r"'a.png' may be 'x/a.png' or 'y/a.png'"):
        listed(file)


def test_files_may_number_the_same_classes_differently(make_coco):
    file = make_coco([A, B], [box(5)])
    about, root = json.loads(file.read_text()), file.parent
    file.unlink()
    (root / "train.json").write_text(json.dumps({**about, "images": [A]}))
    other = {"images": [B], "annotations": [box(1, image=20, category=0)], "categories": [{"id": 0, "name": "nut"}]}
    (root / "val.json").write_text(json.dumps(other))
    listing = listed(root)
    assert [listing.classes[label] for label in listing.objects.labels] == ["bolt", "nut"]
