"""``fettle run``: images in, a confirmed model on a real Triton out; again, and after failures."""

import json


def test_it_ends_with_a_table_a_winner_a_report_and_an_answer_of_triton(first):
    assert all(name in first.done.stdout for name in ("baseline-onnxruntime", "baseline-openvino", "int8-openvino"))
    assert "Triton" in first.done.stdout
    page = (first.artifacts / "report/index.html").read_text()
    assert "int8-openvino" in page
    assert (first.folder / "runs/repository/tiny/config.pbtxt").is_file()


def test_the_served_answers_were_those_of_the_validation(first):
    checks = json.loads((first.artifacts / "confirmation-tiny/confirmation.json").read_text())["checks"]
    assert {check["agreement"] for check in checks.values()} == {1.0}
    assert set(checks) == {"http", "grpc"}


def test_the_lineage_reaches_from_the_served_version_to_the_data(first):
    card = json.loads((first.folder / "runs/repository/tiny/1/fettle.json").read_text())
    data = json.loads((first.artifacts / "dataset-castings/card.json").read_text())["digest"]
    assert data in json.dumps(card)


def test_a_rerun_takes_everything_from_the_cache(first, fettle):
    done = fettle(first.folder, "run")
    assert done.code == 0, done.stderr[-2000:]
    assert not done.ran


def test_a_changed_gate_runs_only_what_depends_on_it(first, fettle):
    done = fettle(first.folder, "run", "gates.max_drop=0.4")
    assert done.code == 0, done.stderr[-2000:]
    assert done.ran == {"select", "promote", "confirm", "report"}


def test_an_altered_artifact_is_made_again(first, fettle):
    weights = first.artifacts / "model-baseline/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    done = fettle(first.folder, "run")
    assert done.code == 0, done.stderr[-2000:]
    assert done.ran == {"train"}, "the same work gives the same content, so that nothing after it has to run"


def test_a_failed_step_is_named_and_the_next_run_goes_on_there(first, fettle):
    (first.folder / "occupied").write_text("a file, not a folder")
    failed = fettle(first.folder, "run", "serve.repository=occupied/repository")
    assert failed.code == 1
    assert "promote" in failed.stderr.splitlines()[-1]
    assert "Traceback" not in failed.stderr
    (first.folder / "occupied").unlink()
    done = fettle(first.folder, "run", "serve.repository=occupied/repository")
    assert done.code == 0, done.stderr[-2000:]
    assert done.ran == {"promote", "confirm", "report"}


def test_where_nothing_passes_nothing_is_promoted_and_the_report_says_why(first, fettle):
    done = fettle(first.folder, "run", "gates.min_accuracy=1.0", "serve.repository=other")
    assert done.code == 7
    assert "min_accuracy" in (first.folder / "runs/tiny/latest/report/index.html").read_text()
    assert not (first.folder / "other/tiny").exists()
