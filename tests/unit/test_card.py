"""Artifacts: sealed, verified, atomic."""

import errno
import json

import pytest

from fettle import card
from fettle.card import Artifact
from fettle.errors import ArtifactError


@pytest.fixture
def artifact(tmp_path):
    with card.create(tmp_path / "a", kind="thing", name="a", config={"x": 1}) as draft:
        (draft.path / "sub").mkdir()
        (draft.path / "sub/file.bin").write_bytes(b"content")
        draft.summary["score"] = 0.5
    return Artifact.open(tmp_path / "a", kind="thing")


def make(path, *, content=b"content", config=None, log=b""):
    with card.create(path, kind="thing", name="n", config=config or {"x": 1}) as draft:
        (draft.path / "f").write_bytes(content)
        (draft.path / "log").mkdir()
        (draft.path / "log/t").write_bytes(log)
    return card.read_card(path)


def test_the_digest_tells_content_and_settings_but_not_time(tmp_path):
    first = make(tmp_path / "a", log=b"took 3 s")
    assert make(tmp_path / "b", log=b"took 4 s").digest == first.digest
    assert make(tmp_path / "c", content=b"other").digest != first.digest
    assert make(tmp_path / "d", config={"x": 2}).digest != first.digest


def test_lineage_reaches_the_grandparents(tmp_path, artifact):
    with card.create(tmp_path / "b", kind="child", name="b", parents={"model": artifact.card}) as draft:
        (draft.path / "f").touch()
    with card.create(tmp_path / "c", kind="grandchild", name="c", parents={"x": card.read_card(tmp_path / "b")}):
        pass
    parents = card.read_card(tmp_path / "c").parents
    assert parents["x"]["parents"]["model"]["digest"] == artifact.card.digest


@pytest.mark.parametrize("damage", ["truncate", "delete", "alter card", "garble card", "delete card", "new schema"])
def test_what_is_damaged_is_refused_with_the_file(artifact, damage):
    file, sheet = artifact.path / "sub/file.bin", artifact.path / "card.json"
    {
        "truncate": lambda: file.write_bytes(b"cont"),
        "delete": file.unlink,
        "alter card": lambda: sheet.write_text(sheet.read_text().replace('"kind": "thing"', '"knd": "thing"')),
        "garble card": lambda: sheet.write_text("{"),
        "delete card": sheet.unlink,
        "new schema": lambda: sheet.write_text(json.dumps({**json.loads(sheet.read_text()), "schema": 99})),
    }[damage]()
    with pytest.raises(ArtifactError, match=str(artifact.path)):
        Artifact.open(artifact.path)


def test_the_wrong_kind_is_refused(artifact):
    with pytest.raises(ArtifactError, match=r"'thing'.*'model'"):
        Artifact.open(artifact.path, kind="model")


def test_a_failed_body_leaves_what_was_there(artifact):
    with pytest.raises(RuntimeError), card.create(artifact.path, kind="thing", name="a") as draft:
        (draft.path / "half").write_text("half")
        raise RuntimeError
    assert Artifact.open(artifact.path).card.digest == artifact.card.digest
    assert [path.name for path in artifact.path.parent.iterdir()] == ["a"]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    with pytest.raises(ArtifactError, match="Free some space"), card.create(tmp_path / "a", kind="t", name="a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())
