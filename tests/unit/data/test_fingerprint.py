import shutil

import pytest

from fettle.data.castings import make_castings
from fettle.data.fingerprint import fingerprint
from fettle.errors import DataError
from fettle.spec import DatasetConfig

FOLDER = DatasetConfig()


def test_copy_elsewhere_has_the_same(make_folder, tmp_path):
    source = make_folder({"ok": 3, "bad": 3})
    shutil.copytree(source, tmp_path / "copy")
    assert fingerprint(source, FOLDER) == fingerprint(tmp_path / "copy", FOLDER)


@pytest.mark.parametrize("change", ["content", "name", "label", "fewer"])
def test_change_is_seen(make_folder, change):
    source = make_folder({"ok": 3, "bad": 3})
    before = fingerprint(source, FOLDER)
    file = source / "ok" / "000.png"
    changes = {
        "content": lambda: file.write_bytes(file.read_bytes() + b"\0"),
        "name": lambda: file.rename(file.with_name("new.png")),
        "label": lambda: file.rename(source / "bad" / "new.png"),
        "fewer": file.unlink,
    }
    changes[change]()
    assert fingerprint(source, FOLDER) != before


def test_files_that_are_no_images_do_not_matter(make_folder):
    source = make_folder({"ok": 3, "bad": 3})
    before = fingerprint(source, FOLDER)
    (source / "notes.txt").write_text("x")
    assert fingerprint(source, FOLDER) == before


def test_table_and_its_images_count(make_folder):
    source = make_folder({"ok": 2})
    table, config = source / "labels.csv", DatasetConfig(layout="csv")
    table.write_text("path,label\nok/000.png,a\nok/001.png,b\nabsent.png,a\n")
    before = fingerprint(table, config)
    table.write_text("path,label\nok/000.png,b\nok/001.png,a\nabsent.png,a\n")
    relabelled = fingerprint(table, config)
    (source / "ok" / "000.png").write_bytes(b"other")
    assert len({before, relabelled, fingerprint(table, config)}) == 3


def test_castings_have_theirs_before_they_are_made(tmp_path):
    config = DatasetConfig(layout="castings", count=20)
    before = fingerprint(tmp_path / "castings", config)
    make_castings(tmp_path / "castings", count=20)
    assert fingerprint(tmp_path / "castings", config) == before
    assert fingerprint(tmp_path / "absent", DatasetConfig(layout="castings", count=21)) != before
    next((tmp_path / "castings" / "ok").iterdir()).write_bytes(b"altered")
    assert fingerprint(tmp_path / "castings", config) != before


def test_missing_source_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        fingerprint(tmp_path / "absent", FOLDER)


@pytest.mark.parametrize("change", ["label", "yaml", "image", "notes"])
def test_annotations_count(make_yolo, change):
    source = make_yolo({"train/a": [(0, 1, 1, 9, 9)], "train/b": None})
    config = DatasetConfig(layout="yolo")
    before = fingerprint(source, config)
    file = {"label": "labels/train/a.txt", "yaml": "data.yaml", "image": "images/train/a.png", "notes": "notes.txt"}
    with (source / file[change]).open("ab") as stream:
        stream.write(b"\n")
    assert (fingerprint(source, config) == before) == (change == "notes")


def test_altered_boxes_of_castings_count(tmp_path):
    config = DatasetConfig(layout="castings", count=20)
    before = fingerprint(tmp_path / "castings", config)
    make_castings(tmp_path / "castings", count=20)
    file = tmp_path / "castings" / "boxes.json"
    file.write_text(file.read_text().replace('"left": ', '"left": 1'))
    assert fingerprint(tmp_path / "castings", config) != before
