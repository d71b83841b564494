"""Step finetune: a pruned model trains on, with or without its parent's logits."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fettle import card
from fettle.errors import SpecError
from fettle.models.architecture import Architecture
from fettle.models.files import load_model, save_model
from fettle.models.plan import apply_plan, read_plan
from fettle.models.registry import build_model
from fettle.spec import FinetuneConfig, TrainConfig
from fettle.steps.finetune import finetune

TRAIN = TrainConfig.model_validate({"preset": "plain", "batch_size": 16, "augment": [], "precision": "float32"})
CONFIG = FinetuneConfig(epochs=1, lr=1e-3)
torch.set_num_threads(1)


def write(path: Path, *, narrow: bool, classes: tuple[str, ...] = ("defective", "ok")) -> Path:
    architecture = Architecture("classify", "test_resnet", classes, 32)
    torch.manual_seed(0)
    model = build_model(architecture)
    if narrow:
        plan = {name: dict(sizes) for name, sizes in read_plan(model).items()}
        plan["layer2.0.conv1"]["out_channels"] = plan["layer2.0.bn1"]["num_features"] = 8
        plan["layer2.0.conv2"]["in_channels"] = 8
        apply_plan(model, plan)
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.uniform_(0.01, 0.1)
        architecture = replace(architecture, plan=plan)
    with card.create(path, kind="model", name="test_resnet") as draft:
        save_model(draft.path, model, architecture)
    return path


def test_the_plan_and_both_parents_are_kept(castings_dataset: Path, tmp_path: Path) -> None:
    pruned, parent = write(tmp_path / "pruned", narrow=True), write(tmp_path / "parent", narrow=False)
    made = finetune(pruned, castings_dataset, tmp_path / "tuned", config=CONFIG, train=TRAIN, parent=parent)
    model, architecture = load_model(made.path)
    assert architecture.plan is not None
    assert model.layer2[0].conv1.out_channels == 8
    assert not torch.equal(model.fc.weight, load_model(pruned)[0].fc.weight), "it was trained"
    assert set(made.card.parents) == {"model", "dataset", "teacher"}
    assert made.card.summary["epochs"] == 1


def test_without_distillation_the_parent_has_no_say(castings_dataset: Path, tmp_path: Path) -> None:
    pruned, parent = write(tmp_path / "pruned", narrow=True), write(tmp_path / "parent", narrow=False)
    plain = CONFIG.model_copy(update={"distil": None})
    alone = finetune(pruned, castings_dataset, tmp_path / "alone", config=plain, train=TRAIN)
    beside = finetune(pruned, castings_dataset, tmp_path / "beside", config=plain, train=TRAIN, parent=parent)
    taught = finetune(pruned, castings_dataset, tmp_path / "taught", config=CONFIG, train=TRAIN, parent=parent)
    assert alone.card.files["model.safetensors"] == beside.card.files["model.safetensors"]
    assert alone.card.files["model.safetensors"] != taught.card.files["model.safetensors"]


def test_a_model_of_other_classes_is_refused(castings_dataset: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", narrow=False, classes=("a", "b", "c"))
    with pytest.raises(SpecError, match="was trained for other classes"):
        finetune(other, castings_dataset, tmp_path / "tuned", config=CONFIG, train=TRAIN)
