"""A model on disk: exact in another process, refused when damaged, no pickle."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from fettle.errors import ArtifactError, SpecError
from fettle.models.architecture import Architecture
from fettle.models.files import load_model, save_model
from fettle.models.plan import apply_plan, read_plan
from fettle.models.registry import build_model

PLAIN = Architecture("classify", "test_resnet", ("bad", "good"), 32)


def narrowed() -> tuple[nn.Module, Architecture]:
    """A network with one bottleneck narrowed by hand: what pruning leaves behind."""
    torch.manual_seed(0)
    model = build_model(PLAIN).eval()
    plan = {name: dict(sizes) for name, sizes in read_plan(model).items()}
    plan["layer2.0.conv1"]["out_channels"] = plan["layer2.0.bn1"]["num_features"] = 5
    plan["layer2.0.conv2"]["in_channels"] = 5
    apply_plan(model, plan)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 1)
    return model, replace(PLAIN, plan=read_plan(model))


def logits(model: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32))


def test_the_plan_tells_every_width() -> None:
    model, architecture = narrowed()
    assert model.layer2[0].conv1.weight.shape[0] == 5
    assert architecture.plan is not None
    assert architecture.plan["layer2.0.conv1"] == {"in_channels": 32, "out_channels": 5, "groups": 1}
    assert architecture.plan["fc"]["out_features"] == 2


def test_a_narrowed_network_is_the_same_in_another_process(tmp_path: Path) -> None:
    model, architecture = narrowed()
    save_model(tmp_path, model, architecture)
    script = f"""
import sys, torch, json
from pathlib import Path
from fettle.models.files import load_model
model, architecture = load_model(Path({str(tmp_path)!r}))
with torch.inference_mode():
    out = model(torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32))
print(json.dumps([out.tolist(), architecture.to_json(), "torch_pruning" in sys.modules, model.training]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    answer, found, pruning_imported, training = json.loads(done.stdout)
    assert torch.equal(torch.tensor(answer), logits(model))
    assert Architecture.from_json(found) == Architecture.from_json(json.loads(json.dumps(architecture.to_json())))
    assert not pruning_imported
    assert not training


@pytest.mark.parametrize("family", ["resnet18", "efficientnet_b3", "convnext_atto", "test_vit", "test_byobnet"])
def test_read_plan_of_any_network_can_be_applied(family: str) -> None:
    architecture = replace(PLAIN, family=family, image_size=160 if "vit" in family else 32)
    model = build_model(architecture)
    other = build_model(architecture)
    apply_plan(other, read_plan(model))
    other.load_state_dict(model.state_dict())


def test_a_plan_for_another_network_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"'layer9' {'out_channels': 3}, which this architecture has not"):
        apply_plan(build_model(PLAIN), {"layer9": {"out_channels": 3}})


def damage_truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
@pytest.mark.parametrize("damage", [damage_truncate, Path.unlink, lambda file: file.write_bytes(b"\x80\x04garbage")])
def test_damaged_files_are_refused_by_name(tmp_path: Path, name: str, damage: object) -> None:
    save_model(tmp_path, build_model(PLAIN), PLAIN)
    damage(tmp_path / name)  # type: ignore[operator]
    with pytest.raises(ArtifactError, match=name):
        load_model(tmp_path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_model(tmp_path, build_model(PLAIN), replace(PLAIN, classes=("a", "b", "c")))
    with pytest.raises(ArtifactError, match="disagree"):
        load_model(tmp_path)


def test_weights_from_a_file_start_a_network_with_other_classes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = build_model(PLAIN)
    save_model(tmp_path, source, PLAIN)
    weights = str(tmp_path / "model.safetensors")
    same = build_model(PLAIN, weights=weights)
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), same.parameters(), strict=True))
    other = build_model(replace(PLAIN, classes=("a", "b", "c")), weights=weights)
    assert torch.equal(other.conv1[0].weight, source.conv1[0].weight)
    assert other.fc.weight.shape[0] == 3
    assert "another number of classes" in caplog.text


@pytest.mark.parametrize(
    ("family", "weights", "message"),
    [
        ("test_resnet", "nowhere.safetensors", "`model.weights` nowhere.safetensors does not exist"),
        ("resnet18", None, "belongs to another architecture"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, family: str, weights: str | None, message: str) -> None:
    save_model(tmp_path, build_model(PLAIN), PLAIN)
    with pytest.raises(SpecError, match=message):
        build_model(replace(PLAIN, family=family), weights=weights or str(tmp_path / "model.safetensors"))


def test_a_folder_of_weights_must_be_an_artifact(tmp_path: Path) -> None:
    save_model(tmp_path, build_model(PLAIN), PLAIN)
    with pytest.raises(ArtifactError, match="is not a Fettle artifact"):
        build_model(PLAIN, weights=str(tmp_path))
