"""Groups of coupled channels, told as numbers, are what pruning takes away."""

import copy

import torch

from fettle.models import Architecture, build_model
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
    narrow = remove_channels(copy.deepcopy(network), CONFIG, shares, example_input=EXAMPLE, keep=keep)
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
