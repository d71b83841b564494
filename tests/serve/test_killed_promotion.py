"""A promotion whose process is killed half-way, while Triton serves: nobody notices, and the next one goes through."""

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from fettle.export.manifest import Export
from fettle.publish import Promotion
from fettle.serve.triton import LocalTriton
from fettle.storage import Store

PROGRAM = """
import importlib, os, signal, sys
from pathlib import Path
from fettle.export.manifest import open_export
from fettle.publish import approve, promote
from fettle.spec.serve import ServeConfig
from fettle.storage import open_store

def die(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)

repository, path, runtime, module, name = sys.argv[1:]
place = importlib.import_module(f"fettle.{module}")
*owner, name = name.split(".")
setattr(getattr(place, owner[0]) if owner else place, name, die)
export = open_export(Path(path))
sign_off = approve(export, runtime, by="Ada", reason="test")
promote(open_store(repository), export, runtime, model_name="m", config=ServeConfig(), sign_off=sign_off)
"""
UPLOAD = ("storage.folder", "FolderStore.upload")
VERIFY = ("publish.release", "verify_version")
COMMIT, LOG, SETTLE = (("publish.promotion", name) for name in ("commit", "log_event", "settle"))


def kill(repository: Store, export: Export, runtime: str, step: tuple[str, str]) -> None:
    command = [sys.executable, "-c", PROGRAM, repository.url, str(export.path), runtime, *step]
    assert subprocess.run(command, timeout=60).returncode == -signal.SIGKILL


@pytest.mark.parametrize("step", [UPLOAD, VERIFY, COMMIT, LOG], ids="/".join)
def test_killed_promotion(
    triton: LocalTriton,
    publish: Callable[..., Promotion],
    repository: Store,
    linear_export: Callable[..., Export],
    step: tuple[str, str],
) -> None:
    publish(linear_export(seed=1))
    triton.load("m")
    export = linear_export(seed=2)
    kill(repository, export, "onnxruntime", step)
    committed = step == LOG
    assert triton.load("m") == ("2" if committed else "1")
    promotion = publish(export)
    assert promotion.created is not committed
    assert triton.load("m") == str(promotion.version) == ("2" if committed else "3")


@pytest.mark.parametrize("step", [UPLOAD, COMMIT, SETTLE], ids="/".join)
def test_killed_promotion_of_an_ensemble(
    triton: LocalTriton,
    publish: Callable[..., Promotion],
    repository: Store,
    ensemble_export: Callable[..., Export],
    step: tuple[str, str],
) -> None:
    publish(ensemble_export(a=1, b=2, c=3), "ensemble")
    triton.load("m")
    export = ensemble_export(a=1, b=4, c=3)
    kill(repository, export, "ensemble", step)
    committed = step == SETTLE
    assert triton.load("m") == ("2" if committed else "1")
    assert publish(export, "ensemble").created is not committed
    triton.load("m")
    with triton.client("m") as client:
        assert client.describe().members["b"].version == ("3" if step == UPLOAD else "2")
        assert client.probe() == client.describe().version
