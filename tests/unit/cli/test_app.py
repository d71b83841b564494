"""The command line: light, documented, and clear about mistakes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fettle import __version__
from fettle.card import create, read_card
from fettle.cli.app import app
from fettle.evaluate import results
from fettle.evaluate.results import Candidate, Selection
from fettle.steps.approve import approve
from pipelines.cluster.origin import Origin

FETTLE = Path(sys.executable).with_name("fettle")
COMMANDS = (
    "init", "run", "train", "optimize", "validate", "promote", "rollback", "serve", "predict", "report", "doctor",
    "compile",
)  # fmt: skip


def fettle(*arguments, cwd=None, **environ):
    return subprocess.run(
        [FETTLE, *arguments], cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, **environ}
    )


def test_help_names_every_command_and_the_exit_codes():
    text = CliRunner().invoke(app, ["--help"]).stdout
    assert all(f"  {command} " in text for command in COMMANDS)
    assert "Exit" in text


def test_help_imports_nothing_heavy():
    heavy = "{'torch', 'numpy', 'kfp', 'pydantic', 'lightning', 'openvino', 'rich.console'}"
    code = f"import sys, fettle.cli.app; print({heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(command):
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) > 5


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "train.epcohs=3"], 2, "did you mean 'epochs'"),
        (["run", "--spec", "nowhere.yaml"], 2, "fettle init"),
        (["run", "dataset.path=nowhere"], 3, "nowhere"),
        (["validate", "nowhere", "nowhere"], 4, "nowhere"),
        (["train", "nowhere"], 4, "nowhere"),
        (["report", "nowhere"], 4, "nowhere"),
        (["promote", "nowhere"], 4, "selection"),
        (["rollback", "nothing"], 8, "no live version"),
        (["benchmark", "x", "--dataset", "d"], 2, "NAME=EXPORT:RUNTIME"),
        (["optimize", "m", "d", "--recipe", "fast"], 2, "fast"),
        (["optimize", "m", "d", "--budget", "soon"], 2, "30m"),
        (["predict", "x.png", "--endpoint", "127.0.0.1:9"], 9, "fettle serve"),
        (["spec", "trian"], 2, "trian"),
        (["init", "nowhere"], 3, "nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_a_code(arguments, code, words, tmp_path):
    done = fettle(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")


@pytest.fixture
def far_run(tmp_path, linear_export):
    """A function that makes the folder of a run that was on a cluster, with a selection of its own."""

    def make(name):
        folder = tmp_path / name
        export = linear_export(seed=1).path
        row = Candidate(
            name="good", recipe="good", runtime="onnxruntime", precision="float32", export=read_card(export).digest,
            scores={"accuracy": 0.9}, p50_ms=1, p95_ms=2, throughput={1: 100.0}, size_mb=1, memory_mb=None,
            load_ms=None, gates=(),
        )  # fmt: skip
        with create(folder / "selection", kind="selection", name="selection") as draft:
            found = Selection("classify", "balanced", "good", "good", f"{name}: good wins.", (row,), (), ())
            results.save(draft.path / results.SELECTION, found)
        approve(folder / "selection", [export], folder / "approval", by="Ada", reason="fine")
        Origin("run-1", "nowhere", "fettle", {}).save(folder)
        return folder

    return make


def test_what_ran_on_a_cluster_is_promoted_there_with_an_approval_of_that_run(far_run, tmp_path):
    run, other = far_run("one"), far_run("two")
    for arguments, code, words in (
        (["promote", run], 7, f"approve a candidate with `fettle approve {run}`"),
        (["promote", run, "--approval", other / "approval"], 4, "the approval is of another run"),
        (["promote", run, "--approval", run / "approval"], 1, "KUBECONFIG"),
        (["approve", run, "--by", "Ada", "--reason", "fine"], 1, "KUBECONFIG"),
        (["rollback", "m", "--context", "nowhere"], 1, "KUBECONFIG"),
    ):
        done = fettle(*arguments, cwd=tmp_path, KUBECONFIG=str(tmp_path / "absent"))
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert words in done.stderr
        assert done.stderr.startswith("error: ")
    (run / "cluster.json").write_text("{}")
    assert "fettle submit --follow" in fettle("promote", run).stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["rollback", "nothing"], 8), (["promote", "nowhere"], 4), (["approve", "nowhere", "--by=A", "--reason=b"], 4)],
)
def test_what_ran_here_needs_no_client_of_a_cluster(arguments, code, tmp_path):
    start = "import sys; sys.modules.update(kfp=None, kubernetes=None); from fettle.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", start, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code, done.stderr


def test_overrides_reach_from_file_environment_and_command_line(tmp_path):
    (tmp_path / "fettle.yaml").write_text("name: from-file\nserve: {approve: manual}\n")
    done = fettle("compile", "--tree", "tune.trials=1", cwd=tmp_path, FETTLE_SERVE__APPROVE="auto")
    assert "tune <-" in done.stdout
    assert "promote <-" in done.stdout


def test_compile_writes_what_kubeflow_takes(tmp_path):
    done = fettle("compile", "recipes.int8=[quantize]", cwd=tmp_path)
    assert done.stdout.strip() == "pipeline.yaml"
    assert "quantize-int8-openvino" in (tmp_path / "pipeline.yaml").read_text()


def test_doctor_tells_what_is_here(tmp_path):
    done = fettle("doctor", "--json", cwd=tmp_path, FETTLE_TRITON=str(tmp_path))
    assert '"what": "cpu"' in done.stdout
    assert "make venv-triton" in done.stdout


def test_the_version_needs_no_command():
    done = fettle("--version")
    assert (done.returncode, done.stdout.strip()) == (0, __version__)
