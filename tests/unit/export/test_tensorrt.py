"""Without a GPU the builder says why it cannot."""

import sys

import pytest

from fettle.errors import HardwareError
from fettle.export import tensorrt
from fettle.hardware import Passport


@pytest.mark.parametrize(
    ("gpu", "words"),
    [(None, "needs an NVIDIA GPU"), ("NVIDIA L4", r"not installed .*pip install 'fettle\[tensorrt\]'")],
)
def test_what_is_missing_is_said(monkeypatch, gpu, words):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.delitem(sys.modules, "fettle.runtimes.tensorrt", raising=False)
    monkeypatch.setattr(tensorrt, "passport", lambda: Passport(cpu="x", cores=1, flags=(), gpu=gpu))
    with pytest.raises(HardwareError, match=words):
        tensorrt.check_device()


def test_the_timing_cache_is_optional_and_replaced_whole(tmp_path):
    assert tensorrt._read(None) == b""
    assert tensorrt._read(tmp_path / "missing") == b""
    file = tmp_path / "deep" / "timing.cache"
    tensorrt._replace(file, b"one")
    tensorrt._replace(file, b"two")
    assert tensorrt._read(file) == b"two"
    assert [path.name for path in file.parent.iterdir()] == ["timing.cache"]
