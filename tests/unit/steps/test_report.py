"""The step ``report``."""

from pathlib import Path

import pytest

from fettle.card import Artifact
from fettle.errors import ArtifactError
from fettle.steps.report import report


def test_writes_one_page_that_leads_to_its_sources(castings_dataset: Path, trained_model: Artifact, tmp_path) -> None:
    made = report([castings_dataset, trained_model.path], tmp_path / "out", title="discs", skipped={"trt": "no GPU"})
    assert [file.name for file in made.path.iterdir() if file.name != "card.json"] == ["index.html"]
    assert "<h1>discs</h1>" in (made.path / "index.html").read_text()
    digests = {parent["digest"] for parent in made.card.parents.values()}
    assert digests == {Artifact.open(castings_dataset).card.digest, trained_model.card.digest}


def test_leaves_nothing_behind_when_a_source_is_no_artifact(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArtifactError, match=r"it has no card\.json"):
        report([tmp_path / "folder"], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
