"""The same promises of a folder and of S3."""

import hashlib
import threading
from pathlib import Path

import pytest

from fettle.errors import StorageError
from fettle.storage import ConflictError, Store, open_store


def test_reads_back_what_was_written(store: Store) -> None:
    store.write("a/b.bin", b"one")
    store.write("a/b.bin", b"two")
    assert store.read("a/b.bin") == b"two"
    assert store.exists("a/b.bin")
    assert not store.exists("a")


def test_digest_is_that_of_the_bytes(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "big.bin"
    file.write_bytes(bytes(range(256)) * 30_000)
    store.upload(file, "big.bin")
    assert store.digest("big.bin") == "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()


def test_folders_go_up_and_come_down(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "one.txt").write_text("1")
    (source / "deep/two three.txt").write_text("2")
    store.upload(source, "model/1")
    assert store.list("model") == ("model/1/deep/two three.txt", "model/1/one.txt")
    store.download("model/1", tmp_path / "target")
    assert (tmp_path / "target/deep/two three.txt").read_text() == "2"
    store.download("model/1/one.txt", tmp_path / "alone.txt")
    assert (tmp_path / "alone.txt").read_text() == "1"


def test_list_takes_a_prefix_for_a_folder(store: Store) -> None:
    store.write("model/1", b"")
    store.write("models/1", b"")
    assert store.list("model") == ("model/1",)
    assert store.list() == ("model/1", "models/1")
    assert store.list("nothing") == ()


def test_delete_removes_all_below_and_forgives(store: Store) -> None:
    for key in ("m/1/a", "m/1/b", "m/10/a"):
        store.write(key, b"x")
    store.delete("m/1")
    store.delete("m/1")
    assert store.list() == ("m/10/a",)


def test_missing_objects_are_named(store: Store, tmp_path: Path) -> None:
    for ask in (store.read, store.digest, store.modified):
        with pytest.raises(StorageError, match=r"no/such\.bin"):
            ask("no/such.bin")
    with pytest.raises(StorageError, match=r"no/such\.bin"):
        store.download("no/such.bin", tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert store.tag("no/such.bin") is None


def test_nothing_to_upload_is_an_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nothing to upload"):
        store.upload(tmp_path / "absent", "a")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../up", "a/../b", "a//b", "./a"])
def test_keys_cannot_climb(store: Store, key: str) -> None:
    with pytest.raises(StorageError, match="storage key"):
        store.write(key, b"x")


def test_conditional_write_creates_once(store: Store) -> None:
    store.write_if("claim", b"first", tag=None)
    with pytest.raises(ConflictError):
        store.write_if("claim", b"second", tag=None)
    assert store.read("claim") == b"first"


def test_conditional_write_needs_the_present_tag(store: Store) -> None:
    store.write("config", b"one")
    old = store.tag("config")
    store.write_if("config", b"two", tag=old)
    with pytest.raises(ConflictError):
        store.write_if("config", b"three", tag=old)
    assert store.read("config") == b"two"
    assert store.tag("config") != old


def test_of_many_writers_one_wins(store: Store) -> None:
    store.write("config", b"base")
    tag, won, lost = store.tag("config"), list[int](), list[int]()

    def race(number: int) -> None:
        try:
            store.write_if("config", b"%d" % number, tag=tag)
            won.append(number)
        except ConflictError:
            lost.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert len(lost) == 7
    assert store.read("config") == b"%d" % won[0]


def test_modified_moves_forward(store: Store) -> None:
    store.write("a", b"1")
    first = store.modified("a")
    store.write("a", b"2")
    assert store.modified("a") >= first


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(StorageError, match="gs://bucket"):
        open_store("gs://bucket", environ={})
