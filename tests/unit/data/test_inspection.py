import re

import pytest
from PIL import Image

from fettle.data.inspection import inspect_folder, propose_detector_size, propose_size
from fettle.errors import DataError
from fettle.spec import DatasetConfig


def images(folder, *names, size=(40, 30)):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(folder / name)
    return folder


def test_folder_a_class(tmp_path):
    images(tmp_path, *(f"ok/{i}.png" for i in range(6)), *(f"bad/{i}.png" for i in range(2)))
    facts = inspect_folder(tmp_path)
    assert (facts.layout, facts.path, facts.label_pattern) == ("imagefolder", tmp_path, None)
    assert facts.classes == {"bad": 2, "ok": 6}
    assert facts.images == 8
    assert facts.imbalance == 3
    assert facts.splits == {}
    assert (facts.width, facts.height) == ((40, 40, 40), (30, 30, 30))


def test_folder_a_class_below_splits(tmp_path):
    images(tmp_path, "train/ok/1.png", "train/ok/2.png", "train/bad/1.png", "test/ok/1.png")
    facts = inspect_folder(tmp_path)
    assert facts.layout == "imagefolder"
    assert facts.classes == {"bad": 1, "ok": 3}
    assert facts.splits == {"train": 3, "test": 1}


def test_class_folders_win_over_names_that_look_like_labels(tmp_path):
    images(tmp_path, *(f"{label}/{stem}_{i}.png" for label in ("ok", "bad") for stem in ("img", "dsc") for i in "1234"))
    assert inspect_folder(tmp_path).classes == {"bad": 8, "ok": 8}


@pytest.mark.parametrize(
    "names",
    [
        [f"{label}_{i}.png" for label in ("rolled-in_scale", "crazing") for i in range(4)],
        [f"IMAGES/{label}_{i}.png" for label in ("rolled-in_scale", "crazing") for i in range(4)],
        [
            f"{split}/{label}_{i}.png"
            for split in ("train", "val")
            for label in ("rolled-in_scale", "crazing")
            for i in "12"
        ],
        [f"{label} ({i}).png" for label in ("rolled-in_scale", "crazing") for i in range(4)],
        [f"{label}.{i}.png" for label in ("rolled-in_scale", "crazing") for i in range(4)],
        [f"{i:04d}_{label}.png" for label in ("rolled-in_scale", "crazing") for i in range(4)],
    ],
)
def test_label_in_the_name(tmp_path, names):
    facts = inspect_folder(images(tmp_path, *names))
    assert facts.layout == "pattern"
    assert facts.classes == {"crazing": 4, "rolled-in_scale": 4}
    config = DatasetConfig(layout="pattern", label_pattern=facts.label_pattern)
    assert {re.search(config.label_pattern, name)["label"] for name in names} == {"crazing", "rolled-in_scale"}


def test_table_of_labels(tmp_path):
    images(tmp_path, "a.png", "b.png")
    (tmp_path / "labels.csv").write_text("path,label,split\na.png,ok,train\nb.png,bad,test\n")
    for argument in (tmp_path, tmp_path / "labels.csv"):
        facts = inspect_folder(argument)
        assert (facts.layout, facts.path) == ("csv", tmp_path / "labels.csv")
        assert facts.classes == {"bad": 1, "ok": 1}
        assert facts.splits == {"train": 1, "test": 1}


def test_broken_images_are_passed_over(tmp_path):
    images(tmp_path, "ok/1.png", "bad/1.png")
    (tmp_path / "ok" / "2.png").write_bytes(b"")
    assert inspect_folder(tmp_path).classes == {"bad": 1, "ok": 2}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "has no image"),
        (["1.png", "2.png", "3.png", "4.png"], "neither folders nor prefixes"),
        (["part_1.png", "part_2.png"], "neither folders nor prefixes"),
    ],
)
def test_folder_without_labels_is_refused(tmp_path, names, message):
    with pytest.raises(DataError, match=message):
        inspect_folder(images(tmp_path, *names))


def test_all_broken_is_refused(tmp_path):
    for name in ("ok/1.png", "bad/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match="None of the images"):
        inspect_folder(tmp_path)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        inspect_folder(tmp_path / "absent")


@pytest.mark.parametrize(
    ("side", "size"), [(8, 16), (30, 16), (48, 48), (112, 112), (128, 112), (200, 112), (400, 192), (4000, 224)]
)
def test_proposed_size(side, size):
    assert propose_size(side) == size


def test_boxes_in_yolo(make_yolo):
    source = make_yolo({"train/a": [(0, 4, 3, 20, 15), (1, 0, 0, 9, 9)], "val/b": [(1, 1, 1, 5, 5)], "val/c": None})
    for argument in (source, source / "data.yaml"):
        facts = inspect_folder(argument)
        assert (facts.task, facts.layout, facts.path, facts.images) == ("detect", "yolo", argument, 3)
        assert facts.classes == {"bolt": 1, "nut": 2}
        assert facts.splits == {"train": 1, "val": 2}
        assert (facts.width[1], facts.height[1], facts.square) == (40, 30, False)
        assert any("no label file" in note for note in facts.notes)


def test_boxes_in_coco_and_voc(make_coco, make_voc, voc):
    file = make_coco(
        [{"id": 1, "file_name": "a.png"}], [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 1, 5, 5]}]
    )
    for argument in (file, file.parent):
        facts = inspect_folder(argument)
        assert (facts.task, facts.layout, facts.classes) == ("detect", "coco", {"bolt": 1, "nut": 0})
    file.unlink()
    facts = inspect_folder(make_voc({"a.xml": voc(("bolt", 1, 1, 9, 9))}, ["a.png"]))
    assert (facts.task, facts.layout, facts.classes) == ("detect", "voc", {"bolt": 1})


def test_a_yaml_or_json_of_another_kind_does_not_make_boxes(tmp_path):
    images(tmp_path, "ok/1.png", "bad/1.png")
    (tmp_path / "fettle.yaml").write_text("name: x\n")
    (tmp_path / "boxes.json").write_text("{}")
    assert inspect_folder(tmp_path).layout == "imagefolder"


@pytest.mark.parametrize(
    ("longer", "share", "size"),
    [(200, 0.3, 224), (128, 0.2, 128), (320, 0.5, 320), (1920, 0.3, 320), (1920, 0.05, 640)],
)
def test_proposed_size_of_a_detector(longer, share, size):
    assert propose_detector_size(longer, share) == size
