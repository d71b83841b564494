"""A folder that outlives its machine, over a folder store and a real S3."""

import logging
import shutil
import time
from pathlib import Path

import pytest

from fettle.storage import Store, kept, open_store
from fettle.storage.kept import INDEX, KeptFolder, kept_folder

DEAD = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kept, "EVERY", 0.05)
    monkeypatch.setattr(kept, "TRIES", 1)
    monkeypatch.setattr(kept.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))


def attempt(store: Store, folder: Path) -> KeptFolder:
    """Return what an attempt on another machine begins with."""
    found = KeptFolder(folder, "train-1", lambda: store)
    found.fetch()
    return found


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.partial")  # as training writes
        fresh.write_text(text)
        fresh.replace(path)


def content(folder: Path) -> dict[str, str]:
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_another_attempt_begins_with_what_was_saved(store: Store, tmp_path: Path) -> None:
    first = attempt(store, tmp_path / "first")
    write(first.folder, last="2", log__timing="x", history="one")
    (first.folder / ".best.partial").write_text("half")
    first.save()
    second = attempt(store, tmp_path / "second")
    assert content(second.folder) == {"last": "2", "log/timing": "x", "history": "one"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")], "nothing else is left"


def test_only_what_changed_is_copied_and_only_what_is_named_is_kept(store: Store, tmp_path: Path) -> None:
    first = attempt(store, tmp_path / "first")
    write(first.folder, best="1", last="1")
    first.save()
    before = {key: store.modified(key) for key in store.list("train-1")}
    time.sleep(1.1)  # the resolution of S3's clock
    write(first.folder, best="1", last="2", copy="2")
    first.save()
    after = {key: store.modified(key) for key in store.list("train-1")}
    same = [key for key in before if before[key] == after.get(key)]
    assert (len(before), len(after), len(same)) == (2, 3, 1), "1 and 2 by content, and the index"
    (first.folder / "copy").unlink()
    first.save()
    assert content(attempt(store, tmp_path / "second").folder) == {"best": "1", "last": "2"}


def test_half_a_copy_is_not_taken_for_a_whole_one(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = attempt(store, tmp_path / "first")
    write(first.folder, best="1")
    first.save()
    store.upload(_file(tmp_path, "epoch 2"), "train-1/fresh")  # killed before the index was written
    assert content(attempt(store, tmp_path / "second").folder) == {"best": "1"}
    for broken in ("missing", "altered"):
        (key,) = (key for key in store.list("train-1") if key not in (f"train-1/{INDEX}", "train-1/fresh"))
        store.delete(key) if broken == "missing" else store.write(key, b"9")
        third = attempt(store, tmp_path / broken)
        assert not third.folder.exists()
        assert "this attempt begins anew" in caplog.text
        write(third.folder, best="3")
        third.save()
        assert content(attempt(store, tmp_path / f"after {broken}").folder) == {"best": "3"}


def test_an_attempt_that_is_not_dead_yet_stops_copying(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = attempt(store, tmp_path / "first")
    write(first.folder, last="1")
    first.save()
    second = attempt(store, tmp_path / "second")
    for text in ("late", "later"):
        write(first.folder, last=text)
        first.save()
    assert caplog.text.count("Another attempt goes on with this work") == 1
    write(second.folder, last="2")
    second.save()
    assert content(attempt(store, tmp_path / "third").folder) == {"last": "2"}
    first.discard()
    assert content(attempt(store, tmp_path / "fourth").folder) == {"last": "2"}


def test_one_that_is_not_dead_when_the_work_is_done_brings_nothing_back(store: Store, tmp_path: Path) -> None:
    first = attempt(store, tmp_path / "first")
    write(first.folder, last="1")
    first.save()
    second = attempt(store, tmp_path / "second")
    second.discard()
    assert store.list("train-1") == ()
    write(first.folder, last="late")
    first.save()
    assert not attempt(store, tmp_path / "third").folder.exists()


@pytest.fixture(params=["file", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "file":
        return f"file://{tmp_path / 'store'}"
    for name, value in request.getfixturevalue("minio_environ").items():
        monkeypatch.setenv(name, value)
    return f"s3://models/{tmp_path.name}"


def test_what_fails_is_kept_and_what_succeeds_is_removed(root: str) -> None:
    with pytest.raises(RuntimeError), kept_folder(root, "x") as folder:
        write(folder, last="1")
        raise RuntimeError
    with kept_folder(root, "other"):
        pass
    shutil.rmtree(folder)  # another machine
    with kept_folder(root, "x") as folder:
        assert content(folder) == {"last": "1"}
    assert not folder.exists()
    assert open_store(root).list() == ()


def test_it_is_copied_while_the_body_runs(root: str) -> None:
    with kept_folder(root, "x") as folder:
        write(folder, last="1")
        deadline = time.monotonic() + 20
        while not open_store(root).exists(f"x/{INDEX}"):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_an_emptied_folder_is_not_an_unfinished_one(root: str) -> None:
    with pytest.raises(RuntimeError), kept_folder(root, "x") as folder:
        write(folder, last="1")
        time.sleep(0.5)
        (folder / "last").unlink()
        raise RuntimeError
    assert open_store(root).exists(f"x/{INDEX}")


def test_a_store_that_is_away_is_said_once_and_harms_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with kept_folder("s3://nowhere/work", "x", environ=DEAD) as folder:
        write(folder, last="1")
        time.sleep(0.2)
    (warning,) = (record for record in caplog.records if record.name == "fettle")
    assert "the service cannot be reached" in warning.getMessage()
    assert "begins anew" in warning.getMessage()


def test_wrong_keys_are_said(minio_environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    wrong = {**minio_environ, "AWS_SECRET_ACCESS_KEY": "wrong-secret"}
    with kept_folder("s3://models/work", "x", environ=wrong) as folder:
        write(folder, last="1")
    assert "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID" in caplog.text


def test_below_a_folder_it_is_a_folder(tmp_path: Path) -> None:
    for _ in range(2):
        with kept_folder(str(tmp_path), "x") as folder:
            assert folder == tmp_path / "x"
            write(folder, last="1")


@pytest.mark.parametrize("rank", ["RANK", "LOCAL_RANK", "PET_NODE_RANK"])
def test_of_several_processes_the_first_keeps_it(tmp_path: Path, rank: str) -> None:
    with kept_folder(f"file://{tmp_path / 'store'}", "x", environ={rank: "1"}) as folder:
        write(folder, last="1")
    assert folder.exists()
    assert not (tmp_path / "store").exists()


def _file(folder: Path, text: str) -> Path:
    (folder / "file").write_text(text)
    return folder / "file"
