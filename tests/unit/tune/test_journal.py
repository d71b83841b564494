"""The journal of a study in a store."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fettle.errors import StorageError
from fettle.storage import Store, open_store
from fettle.tune.journal import StoreJournal

WRITER = """
import sys
from fettle.storage import open_store
from fettle.tune.journal import StoreJournal
url, name = sys.argv[1:]
journal = StoreJournal(open_store(url), "study/journal")
for number in range(30):
    journal.append_logs([{"writer": name, "number": number}])
"""
Place = tuple[str, dict[str, str]]  # URL, and the variables that reach it


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return str(tmp_path / "store"), {}
    return f"s3://models/{tmp_path.name}", request.getfixturevalue("minio_environ")


def test_what_is_appended_is_read_in_order(store: Store) -> None:
    one, other = StoreJournal(store, "a/journal"), StoreJournal(store, "a/journal")
    assert list(one.read_logs(0)) == []
    one.append_logs([{"n": 0}, {"n": 1}])
    assert list(other.read_logs(0)) == [{"n": 0}, {"n": 1}]
    other.append_logs([{"n": 2}])
    one.append_logs([{"n": 3}])
    assert list(one.read_logs(2)) == list(other.read_logs(2)) == [{"n": 2}, {"n": 3}]
    assert [log["n"] for log in StoreJournal(store, "a/journal").read_logs(0)] == [0, 1, 2, 3]
    assert list(StoreJournal(store, "b/journal").read_logs(0)) == []


def test_processes_that_append_at_once_lose_nothing(place: Place) -> None:
    url, environ = place
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, url, name], env={**os.environ, **environ}) for name in "abc"
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    journal = StoreJournal(open_store(url, environ=environ), "study/journal")
    logs = list(journal.read_logs(0))
    assert len(logs) == 90
    for name in "abc":
        assert [log["number"] for log in logs if log["writer"] == name] == list(range(30))
    assert list(journal.read_logs(85)) == logs[85:]


def test_it_waits_for_a_store_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fettle.tune.journal.PAUSE", 0.05)
    folder = tmp_path / "store"
    folder.write_text("in the way")
    threading.Timer(0.5, lambda: (folder.unlink(), folder.mkdir())).start()
    StoreJournal(open_store(folder), "journal", patience=30).append_logs([{"n": 0}])
    assert len(caplog.records) == 1
    assert list(StoreJournal(open_store(folder), "journal").read_logs(0)) == [{"n": 0}]


def test_it_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fettle.tune.journal.PAUSE", 0.05)
    (tmp_path / "store").write_text("in the way")
    start = time.monotonic()
    with pytest.raises(StorageError):
        StoreJournal(open_store(tmp_path / "store"), "journal", patience=0.3).append_logs([{"n": 0}])
    assert time.monotonic() - start < 10
