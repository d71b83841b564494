import os

import pytest

from fettle.data.listing import Item
from fettle.data.readers import read
from fettle.data.readers.files import image_paths
from fettle.errors import DataError
from fettle.spec import DatasetConfig


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def listing(source, **config):
    return read(source, DatasetConfig(**config), task="classify")


def read_names(source, **config):
    return [(item.path, item.label, item.split) for item in listing(source, **config).items]


def test_imagefolder_without_splits(tmp_path):
    touch(tmp_path, "ok/a.jpg", "ok/deep/b.PNG", "bad/c.pgm", "bad/notes.txt", "bad/.hidden.jpg", ".git/d.jpg")
    assert read_names(tmp_path) == [("bad/c.pgm", "bad", None), ("ok/a.jpg", "ok", None), ("ok/deep/b.PNG", "ok", None)]


def test_imagefolder_with_splits_of_any_spelling(tmp_path):
    touch(tmp_path, "Train/ok/a.jpg", "valid/ok/b.jpg", "test/ok/c.jpg", "calib/ok/d.jpg")
    assert read_names(tmp_path) == [
        ("Train/ok/a.jpg", "ok", "train"),
        ("calib/ok/d.jpg", "ok", "calib"),
        ("test/ok/c.jpg", "ok", "test"),
        ("valid/ok/b.jpg", "ok", "val"),
    ]


def test_class_may_be_named_like_a_split(tmp_path):
    touch(tmp_path, "test/a.jpg", "bench/b.jpg")
    assert read_names(tmp_path) == [("bench/b.jpg", "bench", None), ("test/a.jpg", "test", None)]


def test_images_beside_the_class_folders_are_left_out_with_a_word(tmp_path, caplog):
    touch(tmp_path, "ok/a.jpg", "stray.jpg")
    assert len(read_names(tmp_path)) == 1
    assert "1 images lie in no class folder" in caplog.text


def test_odd_names_are_kept(tmp_path):
    names = ["ok/with space.jpg", "ok/ünïcödé-图.jpg", "ok/new\nline.jpg", "ok/quote'\".jpg", "gut & schön/a.jpg"]
    touch(tmp_path, *names)
    assert {path for path, _, _ in read_names(tmp_path)} == set(names)


def test_pattern_reads_labels_from_names_and_ignores_annotations(tmp_path, caplog):
    touch(
        tmp_path, "IMAGES/rolled-in_scale_12.jpg", "IMAGES/crazing_1.jpg", "ANNOTATIONS/crazing_1.xml", "IMAGES/7.jpg"
    )
    assert read_names(tmp_path, layout="pattern", label_pattern=r"(?P<label>[a-z_-]+)_[0-9]+\.jpg") == [
        ("IMAGES/crazing_1.jpg", "crazing", None),
        ("IMAGES/rolled-in_scale_12.jpg", "rolled-in_scale", None),
    ]
    assert "1 images do not match" in caplog.text


def csv_file(tmp_path, text):
    file = tmp_path / "labels.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_csv_with_and_without_splits(tmp_path):
    file = csv_file(tmp_path, "label,path,split,extra\nok , a b.jpg,valid,1\nbad,sub/ü.jpg,,2\n")
    assert read_names(file, layout="csv") == [(" a b.jpg", "ok", "val"), ("sub/ü.jpg", "bad", None)]
    assert listing(file, layout="csv").root == tmp_path


def test_csv_saved_by_a_spreadsheet_has_a_mark_at_its_start(tmp_path):
    (tmp_path / "labels.csv").write_bytes("path,label\r\na.jpg,ok\r\n".encode("utf-8-sig"))
    assert read_names(tmp_path / "labels.csv", layout="csv") == [("a.jpg", "ok", None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg,ok\n", "line 1: the header must be path,label"),
        ("", "line 1: the header must be path,label"),
        ("path,label\na.jpg,ok\nb.jpg,\n", "line 3: label is empty"),
        ("path,label\n,ok\n", "line 2: path is empty"),
        ("path,label\na.jpg\n", "line 2: label is empty"),
        ("path,label,split\na.jpg,ok,holdout\n", "line 2: split must be .* got 'holdout'"),
        ("path,label\n", "no labelled image"),
    ],
)
def test_wrong_csv_is_refused_with_the_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_names(csv_file(tmp_path, text), layout="csv")


def test_csv_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_bytes("path,label\nü.jpg,ok\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        read_names(tmp_path / "labels.csv", layout="csv")


def test_folder_given_for_csv_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a file"):
        read_names(tmp_path, layout="csv")


@pytest.mark.parametrize("layout", ["imagefolder", "csv", "castings"])
def test_missing_source_is_refused(tmp_path, layout):
    with pytest.raises(DataError, match=r"does not exist: set dataset\.path"):
        read_names(tmp_path / "absent", layout=layout)


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="no labelled image"):
        read_names(tmp_path)


def test_file_given_for_a_folder_is_refused(tmp_path):
    touch(tmp_path, "a.jpg")
    with pytest.raises(DataError, match="not a folder"):
        read_names(tmp_path / "a.jpg")


def test_unknown_task_is_refused(tmp_path):
    with pytest.raises(DataError, match="no reader for task 'segment'"):
        read(tmp_path, DatasetConfig(), task="segment")


def test_folder_that_cannot_be_listed_is_not_passed_over(tmp_path, monkeypatch):
    touch(tmp_path, "ok/a.jpg", "secret/b.jpg")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DataError, match="secret cannot be listed"):
        image_paths(tmp_path)


def test_links_are_followed_but_not_in_circles(tmp_path):
    real = touch(tmp_path / "real", "a.jpg")
    source = touch(tmp_path / "source", "ok/b.jpg")
    (source / "linked").symlink_to(real)
    (source / "circle").symlink_to(source)
    assert image_paths(source) == ["linked/a.jpg", "ok/b.jpg"]


def test_item_has_no_split_unless_the_source_says_so():
    assert Item("a.jpg", "ok").split is None
