"""What can be said of TensorRT engines without a GPU: plans of other machines are refused, and so is no GPU."""

import json
import sys
from types import ModuleType

import pytest

from fettle.errors import ArtifactError, HardwareError
from fettle.runtimes import open_engine

HERE = {"gpu": "NVIDIA H100", "compute_capability": "9.0", "tensorrt": "11.0.0"}


@pytest.fixture
def room(monkeypatch):
    """Import the module with a stand-in for the package, which is not installed everywhere."""
    stand_in = ModuleType("tensorrt")
    stand_in.__version__ = HERE["tensorrt"]
    monkeypatch.setitem(sys.modules, "tensorrt", stand_in)
    monkeypatch.delitem(sys.modules, "fettle.runtimes.tensorrt", raising=False)
    import fettle.runtimes.tensorrt as module

    yield module
    sys.modules.pop("fettle.runtimes.tensorrt", None)


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "model.plan").write_bytes(b"plan")
    (tmp_path / "export.json").write_text(json.dumps({"passport": HERE}))
    return tmp_path / "model.plan"


def test_the_passport_that_fits_is_accepted(room, plan):
    room.check_passport(plan, HERE)


@pytest.mark.parametrize(
    "other", [{"gpu": "NVIDIA L4"}, {"compute_capability": "8.9"}, {"tensorrt": "10.13.0"}]
)  # fmt: skip
def test_a_plan_of_another_device_is_refused(room, plan, other):
    with pytest.raises(HardwareError, match=f"was built for {next(iter(other))}"):
        room.check_passport(plan, {**HERE, **other})


@pytest.mark.parametrize("manifest", ["{}", '{"passport": null}', "not json", None])
def test_a_plan_without_passport_is_refused(room, plan, manifest):
    file = plan.with_name("export.json")
    file.unlink() if manifest is None else file.write_text(manifest)
    with pytest.raises(ArtifactError, match="no passport"):
        room.check_passport(plan, HERE)


def test_no_gpu_is_said(room, plan, monkeypatch):
    monkeypatch.setattr(room.torch.cuda, "is_available", lambda: False)
    with pytest.raises(HardwareError, match="needs an NVIDIA GPU"):
        open_engine("tensorrt", plan)
