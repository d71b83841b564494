import subprocess
import sys

import pytest

from fettle.data import open_dataset
from fettle.errors import DataError
from fettle.spec import DatasetConfig
from fettle.steps.ingest import ingest

CASTINGS = DatasetConfig(layout="castings", count=40)


def test_castings_are_made_and_become_a_dataset(tmp_path):
    calls = []
    artifact = ingest(
        tmp_path / "castings", tmp_path / "out", dataset=CASTINGS, image_size=32, on_image=lambda *n: calls.append(n)
    )
    assert artifact.card.kind == "dataset"
    assert artifact.card.config["dataset"]["layout"] == "castings"
    assert sum(artifact.card.summary["images"].values()) == 40
    assert calls[-1] == (40, 40)
    assert set(artifact.card.files) == {
        "dataset.json",
        "duplicates.json",
        "grid.jpg",
        "images.npy",
        "quarantine.jsonl",
        "records.jsonl",
    }
    dataset = open_dataset(tmp_path / "out")
    assert dataset.images.shape == (40, 32, 32, 3)
    assert all(min(counts.values()) > 0 for counts in dataset.counts.values())


def test_digest_does_not_depend_on_where_the_source_lies(tmp_path):
    digests = {
        ingest(
            tmp_path / place, tmp_path / f"out {place}", dataset=DatasetConfig(layout="castings", count=40, path=place),
            image_size=32,
        ).card.digest
        for place in ("here", "there")
    }  # fmt: skip
    assert len(digests) == 1


def test_failure_leaves_the_earlier_artifact(tmp_path):
    ingest(tmp_path / "castings", tmp_path / "out", dataset=CASTINGS, image_size=32)
    before = open_dataset(tmp_path / "out").artifact.card.digest
    with pytest.raises(DataError):
        ingest(tmp_path / "absent", tmp_path / "out", dataset=DatasetConfig(), image_size=32)
    assert open_dataset(tmp_path / "out").artifact.card.digest == before


def test_neither_ingest_nor_opening_needs_torch():
    rooms = "fettle.steps.ingest, fettle.data.inspection, fettle.data.fingerprint"
    code = f"import sys, {rooms}; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "False"
