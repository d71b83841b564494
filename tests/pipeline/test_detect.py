"""``fettle run`` with ``task: detect``: the same steps, a detector on a real Triton."""

import json

import pytest

SPEC = """
name: tiny-detect
task: detect
dataset: {path: castings, layout: castings, count: 160}
model: {family: yolov8, image_size: 64}
train: {epochs: 1}
recipes:
  pruned-int8: [prune: {ratio: 0.3}, finetune: {epochs: 1}, quantize: {images: 16}]
runtimes: [openvino]
gates: {max_drop: 0.5, class_floor: null}
benchmark: {rounds: 3, batches: [1, 4]}
serve: {max_batch: 4}
"""


@pytest.fixture(scope="module")
def detected(run_spec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("detect")
    run_spec(folder, SPEC)
    return folder / "runs/tiny-detect/latest"


def test_every_recipe_became_a_candidate_that_was_judged_and_timed(detected):
    rows = json.loads((detected / "selection/selection.json").read_text())["candidates"]
    assert {row["name"] for row in rows} == {"baseline-openvino", "pruned-int8-openvino"}
    assert all(0 <= row["scores"]["map50"] <= 1 and row["p50_ms"] > 0 for row in rows)


def test_triton_gives_the_offline_boxes_of_every_test_image(detected):
    checks = json.loads((detected / "confirmation-tiny-detect/confirmation.json").read_text())["checks"]
    assert set(checks) == {"http", "grpc"}
    assert all(check["differences"]["unpaired"] == 0 for check in checks.values())


def test_the_report_tells_of_it(detected):
    assert "mAP50" in (detected / "report/index.html").read_text()
