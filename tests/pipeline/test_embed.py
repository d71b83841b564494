"""``fettle run`` with ``task: embed``: the same steps, embeddings of strangers on a real Triton."""

import json

import numpy as np
import pytest
from PIL import Image

SPEC = """
name: tiny-embed
task: embed
dataset: {path: people, layout: imagefolder, split: {hold_out: 'p1[0-3]', val: 0.2}}
model: {family: arcface, image_size: 32, options: {backbone: resnet10t, dimensions: 32}}
train: {epochs: 1, batch_size: 16, augment: []}
recipes:
  pruned-int8: [prune: {ratio: 0.3}, finetune: {epochs: 1}, quantize: {images: 16}]
runtimes: [onnxruntime]
gates: {max_drop: 0.5, max_tar_drop: 1.0, class_floor: null}
benchmark: {rounds: 3, batches: [1, 4]}
serve: {max_batch: 4}
"""


@pytest.fixture(scope="module")
def embedded(run_spec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("embed")
    generator = np.random.default_rng(0)
    for person in range(14):
        (folder / f"people/p{person:02d}").mkdir(parents=True)
        colour = generator.integers(30, 220, 3)
        for picture in range(6):
            pixels = colour + generator.normal(0, 12, (32, 32, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"people/p{person:02d}/{picture}.png")
    run_spec(folder, SPEC)
    return folder / "runs/tiny-embed/latest"


def test_candidates_are_judged_on_people_who_were_never_trained_on(embedded):
    rows = json.loads((embedded / "selection/selection.json").read_text())["candidates"]
    assert {row["name"] for row in rows} == {"baseline-onnxruntime", "pruned-int8-onnxruntime"}
    assert all(set(row["thresholds"]) == {"similarity"} and row["scores"]["rank1"] > 0 for row in rows)
    metrics = json.loads((embedded / "validation-baseline-onnxruntime/metrics.json").read_text())["test"]
    assert (metrics["identities"], metrics["count"]) == (4, 24)


def test_the_pruned_network_learnt_from_its_parent(embedded):
    card = json.loads((embedded / "model-pruned-int8/card.json").read_text())
    assert {"model", "dataset", "teacher"} == set(card["parents"])


def test_triton_gives_the_offline_points_of_every_test_picture(embedded):
    checks = json.loads((embedded / "confirmation-tiny-embed/confirmation.json").read_text())["checks"]
    assert set(checks) == {"http", "grpc"}
    assert all(check["differences"]["coordinate"] <= 1e-5 for check in checks.values())


def test_the_report_tells_of_it(embedded):
    assert "TAR" in (embedded / "report/index.html").read_text()
