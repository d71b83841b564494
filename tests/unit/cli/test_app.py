"""The command line: light, documented, and clear about mistakes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fettle import __version__
from fettle.cli.app import app

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
