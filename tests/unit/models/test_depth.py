"""Blocks that can be skipped."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fettle.errors import ArtifactError
from fettle.models import Architecture, build_model, load_model, save_model
from fettle.models.depth import find_blocks, skip_blocks
from fettle.models.plan import read_plan
from fettle.search.blocks import rank_blocks

ARCHITECTURE = Architecture("classify", "resnet18", ("a", "b"), 32)
IMAGES = torch.rand(4, 3, 32, 32)


def test_blocks_give_what_they_take() -> None:
    network = build_model(ARCHITECTURE).eval()
    assert find_blocks(network, IMAGES[:1]) == ["layer1.0", "layer1.1", "layer2.1", "layer3.1", "layer4.1"]


def test_a_skipped_block_is_gone_after_loading_too(tmp_path: Path) -> None:
    skipped = replace(ARCHITECTURE, skipped=("layer3.1",))
    network = build_model(skipped).eval()
    assert not any(name.startswith("layer3.1.") for name in network.state_dict())
    save_model(tmp_path, network, replace(skipped, plan=read_plan(network)))
    loaded, _ = load_model(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(loaded(IMAGES), network(IMAGES))


def test_a_layer_of_yolov8_can_be_skipped_where_others_ask_for_its_place() -> None:
    whole = Architecture("detect", "yolov8", ("a", "b"), 64, {"split_c2f": True})
    images = torch.rand(2, 3, 64, 64)
    network = build_model(whole).eval()
    blocks = rank_blocks(network, images)
    assert {"network.model.2", "network.model.12.m.0"} <= set(blocks)
    skipped = build_model(replace(whole, skipped=tuple(blocks)[:4], input_size=32))
    assert skipped.train()(images)["boxes"].shape[0] == 2
    assert skipped.eval()(images)[0].shape == (2, 21, 4)


def test_a_block_that_is_not_there_is_named() -> None:
    with pytest.raises(ArtifactError, match=r"'layer9\.0' is to be skipped"):
        skip_blocks(build_model(ARCHITECTURE), ["layer9.0"])


def test_a_block_that_does_nothing_is_missed_least() -> None:
    torch.manual_seed(0)
    network = build_model(ARCHITECTURE).eval()
    for name, parameter in network.named_parameters():
        if name.endswith("bn2.weight"):  # timm begins with blocks that add nothing
            torch.nn.init.ones_(parameter)
    torch.nn.init.zeros_(network.get_submodule("layer2.1").bn2.weight)
    ranked = rank_blocks(network, IMAGES)
    assert next(iter(ranked)) == "layer2.1"
    assert ranked["layer2.1"] == pytest.approx(0, abs=1e-6)
    assert list(ranked.values()) == sorted(ranked.values())
    assert "layer2.1" not in rank_blocks(network, IMAGES, keep=["layer2.1.conv1"])
