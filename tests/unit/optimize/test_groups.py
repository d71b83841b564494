"""Groups of coupled channels, told as numbers, are what pruning takes away."""

import copy

import torch

from fettle.models import Architecture, build_model
from fettle.models.cbam import CBAM
from fettle.optimize.channels import output_layers, remove_channels
from fettle.optimize.groups import find_groups
from fettle.spec import PruneConfig

EXAMPLE = torch.zeros(1, 3, 32, 32)
CONFIG = PruneConfig(importance="group_norm", width_step=8, ratio=0.99)


def test_widths_after_pruning_are_those_that_the_groups_foretell() -> None:
    torch.manual_seed(0)
    network = build_model(Architecture("classify", "resnet18", ("a", "b"), 32)).eval()
    keep = output_layers(network, EXAMPLE)
    groups = find_groups(network, CONFIG, example_input=EXAMPLE, keep=keep)
    assert {group.root: group.width for group in groups}["layer4.1.conv1"] == 512
    chosen = {group.root: group.width // 2 for group in groups if group.root.startswith(("layer2", "layer3"))}
    shares = {group.root: 1 - chosen[group.root] / group.width for group in groups if group.root in chosen}
    narrow, _ = remove_channels(copy.deepcopy(network), CONFIG, shares, example_input=EXAMPLE, keep=keep)
    layers, before = dict(narrow.named_modules()), dict(network.named_modules())
    for name in ("layer2.0.conv1", "layer3.1.conv2", "layer4.0.conv1", "layer1.0.conv1", "fc"):
        inputs = sum((g.width - chosen.get(g.root, g.width)) * g.inputs.get(name, 0) for g in groups)
        outputs = sum((g.width - chosen.get(g.root, g.width)) * g.outputs.get(name, 0) for g in groups)
        old, new = before[name].weight.shape, layers[name].weight.shape
        assert (new[0], new[1]) == (old[0] - outputs, old[1] - inputs)


def test_the_least_important_channels_come_first() -> None:
    network = build_model(Architecture("classify", "test_resnet", ("a", "b"), 32)).eval()
    groups = find_groups(network, CONFIG, example_input=EXAMPLE, keep=output_layers(network, EXAMPLE))
    assert groups
    for group in groups:
        assert len(group.importance) == group.width
        assert list(group.importance) == sorted(group.importance)
        assert group.params > 0


def test_spatial_attention_holds_no_channel_back() -> None:
    """It reads any number of channels and gives one, which is none of those that it weighs."""
    torch.manual_seed(0)
    network = build_model(Architecture("classify", "efficientnet_b3", ("a", "b"), 32, {"cbam": True})).eval()
    keep = output_layers(network, EXAMPLE)
    groups = find_groups(network, CONFIG, example_input=EXAMPLE, keep=keep)
    attended = {name.rsplit(".", 1)[0] for name, module in network.named_modules() if isinstance(module, CBAM)}
    layers, narrowed = dict(network.named_modules()), {name for group in groups for name in group.outputs}
    for stage in attended:
        trunk = {name for name, each in layers.items() if name.startswith(f"{stage}.") and name.endswith("conv_pwl")}
        assert trunk
        assert trunk <= narrowed
    narrow, _ = remove_channels(
        network, CONFIG, {group.root: 0.5 for group in groups}, example_input=EXAMPLE, keep=keep
    )
    images = torch.randn(2, 3, 32, 32)
    for stage in attended:
        trunk = next(name for name in layers if name.startswith(f"{stage}.") and name.endswith("conv_pwl"))
        assert dict(narrow.named_modules())[trunk].out_channels < 0.7 * layers[trunk].out_channels
    assert torch.isfinite(narrow(images)).all()
