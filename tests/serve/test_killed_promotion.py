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
import os, signal, sys
from pathlib import Path
from fettle.export.manifest import open_export
from fettle.publish import approve, promote, promotion
from fettle.spec.serve import ServeConfig
from fettle.storage import open_store

def die(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(promotion, sys.argv[3], die)
export = open_export(Path(sys.argv[2]))
sign_off = approve(export, "onnxruntime", by="Ada", reason="test")
promote(open_store(sys.argv[1]), export, "onnxruntime", model_name="m", config=ServeConfig(), sign_off=sign_off)
"""


@pytest.mark.parametrize("step", ["_upload", "verify_version", "commit", "log_event"])
def test_killed_promotion(
    triton: LocalTriton,
    publish: Callable[..., Promotion],
    repository: Store,
    linear_export: Callable[..., Export],
    step: str,
) -> None:
    publish(linear_export(seed=1))
    triton.load("m")
    export = linear_export(seed=2)
    killed = subprocess.run([sys.executable, "-c", PROGRAM, repository.url, str(export.path), step], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    committed = step == "log_event"
    assert triton.load("m") == ("2" if committed else "1")
    promotion = publish(export)
    assert promotion.created is not committed
    assert triton.load("m") == str(promotion.version) == ("2" if committed else "3")
