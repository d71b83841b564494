"""What only a folder can go wrong with."""

from pathlib import Path

import pytest

from fettle.errors import StorageError
from fettle.storage import open_store


def test_a_failed_upload_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path / "store", environ={})
    store.write("model.bin", b"old")
    (tmp_path / "new.bin").write_bytes(b"new")

    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"ne")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(StorageError, match="No space left"):
        store.upload(tmp_path / "new.bin", "model.bin")
    assert store.read("model.bin") == b"old"
    assert [file.name for file in (tmp_path / "store").iterdir()] == ["model.bin"]


def test_a_file_in_the_way_is_explained(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StorageError, match="store"):
        open_store(tmp_path / "store", environ={}).write("a", b"x")
