"""``fettle ensemble``: members vote, a student learns from the vote, and Triton answers for all of them at once."""

import json

import numpy as np
import pytest
from PIL import Image

from fettle.errors import FettleError

SPEC = """
name: tiny-vote
dataset: {path: shapes, layout: imagefolder, split: {val: 0.2, test: 0.2}}
model: {family: resnet10t, image_size: 32}
train: {preset: plain, epochs: 1, batch_size: 16}
members:
  net:
    model: {family: resnet10t}
    train: {preset: plain, epochs: 2, batch_size: 16}
    recipes: {int8: [quantize: {images: 16}]}
    votes: int8-onnxruntime
  cosine:
    model: {family: arcface, options: {backbone: resnet10t, dimensions: 32}}
    train: {epochs: 2, batch_size: 16, augment: []}
    recipes: {tta: [tta: {views: [plain, flip]}]}
    votes: baseline-onnxruntime
  boxes:
    model: {family: yolov5_resnet, options: {backbone: resnet10t, width: 32}}
    train: {epochs: 1, batch_size: 16}
    votes: baseline-onnxruntime
ensemble: {weights: {net: 0.4, cosine: 0.4, boxes: 0.2}}
runtimes: [onnxruntime]
gates: {max_drop: 1.0, class_floor: null}
benchmark: {rounds: 3, batches: [1, 4]}
serve: {max_batch: 4, approve: auto, profile: accuracy}
"""


@pytest.fixture(scope="module")
def voted(run_spec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vote")
    generator = np.random.default_rng(0)
    for name, colour in {"red": (200, 60, 60), "green": (60, 200, 60), "blue": (60, 60, 200)}.items():
        (folder / f"shapes/{name}").mkdir(parents=True)
        for number in range(40):
            pixels = np.array(colour) + generator.normal(0, 60, (32, 32, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"shapes/{name}/{number}.png")
    run_spec(folder, SPEC)
    return folder / "runs/tiny-vote/latest"


def test_everyone_stands_in_one_table(voted):
    selection = json.loads((voted / "selection/selection.json").read_text())
    assert {row["name"] for row in selection["candidates"]} == {
        "net-onnxruntime", "net-int8-onnxruntime", "cosine-onnxruntime", "cosine-tta-onnxruntime", "boxes-onnxruntime",
        "default-ensemble", "fitted-ensemble", "student-onnxruntime",
    }  # fmt: skip
    assert selection["baseline"] in {"net-int8-onnxruntime", "cosine-onnxruntime", "boxes-onnxruntime"}
    parents = {row["name"]: row["parent"] for row in selection["candidates"]}
    assert parents["cosine-tta-onnxruntime"] == "cosine-onnxruntime"
    assert parents["fitted-ensemble"] == selection["baseline"]
    assert parents["net-int8-onnxruntime"] is None  # it votes
    models = {path.name for path in voted.iterdir() if path.name.startswith("model-")}
    assert models == {"model-net", "model-cosine", "model-boxes", "model-student"}


def test_fitted_weights_are_on_the_simplex_and_never_worse(voted):
    default, fitted = (
        json.loads((voted / f"export-{recipe}/card.json").read_text())["summary"] for recipe in ("default", "fitted")
    )
    assert sum(fitted["weights"].values()) == pytest.approx(1)
    assert min(fitted["weights"].values()) >= 0
    assert fitted["val_log_loss"] <= default["val_log_loss"]


def test_the_ensemble_answers_as_its_members_vote(voted):
    weights = json.loads((voted / "export-fitted/card.json").read_text())["summary"]["weights"]
    voters = {"net": "net-int8-onnxruntime", "cosine": "cosine-onnxruntime", "boxes": "boxes-onnxruntime"}

    def probabilities(name):
        return np.load(voted / f"validation-{name}/predictions.npz")["probabilities"]

    expected = sum(weights[name] * probabilities(voter) for name, voter in voters.items())
    np.testing.assert_allclose(probabilities("fitted-ensemble"), expected, atol=1e-6)


def test_the_student_learnt_from_the_vote(voted):
    card = json.loads((voted / "model-student/card.json").read_text())
    assert card["parents"]["teacher"]["name"] == "fitted"


def test_the_report_says_whether_the_vote_pays(voted):
    page = (voted / "report/index.html").read_text()
    assert "for its latency" in page
    assert "Log loss on val" in page


def test_a_spec_without_members_is_no_ensemble(tmp_path, monkeypatch):
    from pipelines.commands import ensemble

    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.yaml").write_text("name: plain\n")
    with pytest.raises(FettleError, match="no `members`"):
        ensemble(tmp_path / "plain.yaml")


def test_a_run_is_promoted_as_its_own_spec_says(voted, monkeypatch):
    from typer.testing import CliRunner

    from fettle.cli.app import app

    monkeypatch.chdir(voted.parents[2])
    approve = ["approve", str(voted), "--by", "Ada", "--reason", "to see", "--candidate", "default-ensemble"]
    assert CliRunner().invoke(app, approve).exit_code == 0
    promoted = CliRunner().invoke(app, ["promote", str(voted), "--approval", "approval"])
    assert promoted.stdout.startswith("tiny-vote ")
    models = {path.parent.name for path in (voted.parents[2] / "runs/repository").glob("*/config.pbtxt")}
    assert models == {"tiny-vote", *(f"tiny-vote.{name}" for name in ("net", "cosine", "boxes", "vote"))}
