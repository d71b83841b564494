"""A recipe that searches: its candidates are judged, told and served like any other."""

import json

import numpy as np
import pytest

from fettle.export import open_export
from fettle.runtimes import open_engine

SPEC = """
name: tiny-search
dataset: {path: castings, layout: castings, count: 160}
model: {family: resnet10t, image_size: 64}
train: {preset: plain, epochs: 3, batch_size: 16, precision: float32, augment: []}
recipes: {auto: [search: {trials: 2, candidates: 3, max_drop: 0.9, precisions: [float32], levers: [width]}]}
runtimes: [onnxruntime]
gates: {max_drop: 1.0, class_floor: null}
benchmark: {rounds: 3, batches: [1, 4]}
serve: {max_batch: 4, approve: auto, profile: edge}
"""


@pytest.fixture(scope="module")
def searched(run_spec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    done = run_spec(folder, SPEC)
    return folder, done


def test_its_candidates_stand_in_the_table(searched):
    folder, _ = searched
    run = folder / "runs/tiny-search/latest"
    selection = json.loads((run / "selection/selection.json").read_text())
    rows = {row["name"]: row for row in selection["candidates"]}
    assert set(rows) == {"baseline-onnxruntime", "auto-1", "auto-2", "auto-3"}
    assert {row["runtime"] for row in rows.values()} == {"onnxruntime"}
    assert rows["auto-1"]["parent"] == "baseline-onnxruntime"
    assert {path.name for path in run.iterdir() if path.name.startswith("model")} == {"model-baseline"}


def test_a_smaller_network_takes_the_same_images(searched):
    folder, _ = searched
    run = folder / "runs/tiny-search/latest"
    told = json.loads((run / "search-auto/search.json").read_text())
    assert any(each["owner"] != "whole" for each in told["front"]), told["sentence"]
    images = np.zeros((2, 64, 64, 3), np.uint8)
    for number in (1, 2, 3):
        export = open_export(run / f"export-auto-{number}")
        with open_engine("onnxruntime", export.file) as engine:
            assert engine(images)[0].shape == (2, 2)


def test_the_report_tells_of_it_and_the_winner_is_served(searched):
    folder, done = searched
    page = (folder / "runs/tiny-search/latest/report/index.html").read_text()
    assert '<section id="search"' in page or 'id="search"' in page
    assert "Expected and measured" in page
    assert "gives the offline answers" in done.stdout


def test_a_second_run_takes_it_from_the_cache(searched, fettle):
    folder, _ = searched
    again = fettle(folder, "run")
    assert again.code == 0, again.stderr[-2000:]
    assert {"search-auto", "pick-auto-1", "validate-auto-1"} <= again.cached
