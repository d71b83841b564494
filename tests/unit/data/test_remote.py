"""Images in an object store, on a real one."""

import pytest

from fettle.data.castings import make_castings
from fettle.data.fingerprint import fingerprint as fingerprint_here
from fettle.data.remote import fetched, fingerprint, upload
from fettle.errors import DataError, StorageError
from fettle.spec import DatasetConfig
from fettle.steps.ingest import ingest
from fettle.storage import open_store


@pytest.fixture
def store(minio_environ, monkeypatch, tmp_path):
    for name, value in minio_environ.items():
        monkeypatch.setenv(name, value)
    return open_store(f"s3://models/{tmp_path.name}")


def test_what_was_uploaded_is_ingested_as_if_it_lay_here(make_folder, store, tmp_path):
    source, config = make_folder({"ok": 20, "bad": 20}), DatasetConfig()
    (source / "notes.txt").write_text("not read, not uploaded")
    content = fingerprint(str(source), config)
    url, uploaded = upload(source, config, store, content=content)
    assert uploaded
    assert url == f"{store.url}/{content[7:23]}/{source.name}"
    assert not [name for name in store.list() if name.endswith(".txt")]
    there = ingest(url, tmp_path / "there", dataset=config, image_size=16)
    here = ingest(source, tmp_path / "here", dataset=config, image_size=16)
    assert there.card.digest == here.card.digest
    assert there.card.summary["source"] == url


def test_the_same_content_is_uploaded_once(make_folder, store):
    source, config = make_folder({"ok": 2, "bad": 2}), DatasetConfig()
    told = []
    for _ in range(2):
        upload(source, config, store, content="sha256:" + "a" * 64, on_file=lambda *done: told.append(done))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_half_an_upload_is_not_taken_for_a_whole_one(make_folder, store):
    source, config, content = make_folder({"ok": 2, "bad": 2}), DatasetConfig(), "sha256:" + "b" * 64
    upload(source, config, store, content=content)
    store.delete(f"{content[7:23]}.json")  # the last word
    store.delete(f"{content[7:23]}/{source.name}/ok/001.png")
    told = []
    _, uploaded = upload(source, config, store, content=content, on_file=lambda *done: told.append(done))
    assert uploaded
    assert told == [(1, 1)], "only what was missing"


def test_a_table_brings_the_images_that_it_lists(make_folder, store):
    source, config = make_folder({"ok": 2, "bad": 1}), DatasetConfig(layout="csv")
    table = source / "labels.csv"
    table.write_text("path,label\nok/000.png,a\nbad/000.png,b\nabsent.png,a\n")
    url, _ = upload(table, config, store, content="sha256:" + "c" * 64)
    with fetched(url) as copy:
        assert copy.name == "labels.csv"
        assert sorted(file.name for file in copy.parent.rglob("*.*")) == ["000.png", "000.png", "labels.csv"]
    assert not copy.exists()
    table.write_text("path,label\n../ok/000.png,a\n")
    (source.parent / "ok").mkdir()
    (source.parent / "ok" / "000.png").write_bytes(b"")
    with pytest.raises(DataError, match="bring the files into one folder"):
        upload(table, config, store, content="sha256:" + "d" * 64)


def test_castings_that_somebody_touched_go_with_their_boxes(store, tmp_path):
    config = DatasetConfig(layout="castings", count=20)
    make_castings(tmp_path / "castings", count=20)
    next((tmp_path / "castings" / "ok").iterdir()).unlink()
    url, _ = upload(tmp_path / "castings", config, store, content=fingerprint_here(tmp_path / "castings", config))
    with fetched(url) as copy:
        assert (copy / "boxes.json").is_file()
        assert len(list(copy.rglob("*.jpg"))) == 19


def test_the_fingerprint_of_objects_is_of_their_content(make_folder, store):
    source, config = make_folder({"ok": 2, "bad": 2}), DatasetConfig()
    url, _ = upload(source, config, store, content="sha256:" + "e" * 64)
    before = fingerprint(url, config)
    assert before.startswith("sha256:")
    assert fingerprint(url, config) == before
    key = url.removeprefix(f"{store.url}/")
    store.write(f"{key}/ok/000.png", b"other")
    assert fingerprint(url, config) != before


@pytest.mark.parametrize("source", ["s3://models", "s3://models/nothing/here"])
def test_what_is_not_there_is_said(source, store):
    with pytest.raises(DataError, match=r"dataset\.path"), fetched(source):
        pass
    with pytest.raises(StorageError, match="bucket"):
        fingerprint("s3://no-such-bucket/x", DatasetConfig())
