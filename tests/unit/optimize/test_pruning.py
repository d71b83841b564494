"""Pruning against independent counts, and against the dense network with dead channels."""

import copy
import subprocess
import sys
from dataclasses import replace
from textwrap import dedent

import pytest
import torch
from torch import nn

from fettle.errors import OptimizeError
from fettle.models import build_model, load_model, read_plan, save_model
from fettle.models.architecture import Architecture
from fettle.models.prunable import make_prunable
from fettle.optimize.pruning import measure, prune
from fettle.spec import PruneConfig

torch.set_num_threads(1)  # tiny networks: a second thread only waits for the first
EXAMPLE = torch.zeros(2, 3, 32, 32)


def count_params(model: nn.Module) -> int:
    return sum(value.numel() for value in model.parameters())


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("by", ["params", "macs"])
def test_the_wanted_share_goes(network, by, scope):
    config = PruneConfig(ratio=0.3, by=by, scope=scope, width_step=2)
    result = prune(network, config, example_input=EXAMPLE)
    assert 0.25 <= result.removed(by) <= 0.35
    assert result.after.macs < result.before.macs
    assert result.before.params == count_params(network)
    assert result.after.params == count_params(result.model)
    assert result.model(EXAMPLE).shape == (2, 3)


def test_macs_are_counted_right(network):
    conv = 3 * 9 * 32 * 16**2 + 9 * 32 * 16**2 + 32 * 9 * 64 * 8**2
    others = 32 * 4 * 2 + 64 * 3
    counted = measure(network, EXAMPLE).macs
    assert conv + others <= counted <= (conv + others) * 1.15, "norms and biases may be counted too, no more"


def test_widths_are_multiples_of_the_step(network):
    result = prune(network, PruneConfig(ratio=0.4, width_step=8), example_input=EXAMPLE)
    widths = {
        name: module.out_channels for name, module in result.model.named_modules() if isinstance(module, nn.Conv2d)
    }
    assert {"stem.0", "expand.0"} <= set(result.kept)
    assert widths["squeeze"] == 4, "narrower than the step: left alone"
    assert all(width % 8 == 0 for name, width in widths.items() if name != "squeeze")


@pytest.mark.parametrize("ratio", [0.3, 0.8])
def test_no_layer_collapses(network, ratio):
    """One layer with tiny weights must not pay for all."""
    with torch.no_grad():
        network.expand[0].weight.mul_(1e-4)
        network.expand[1].weight.mul_(1e-4)
    config = PruneConfig(ratio=ratio, scope="global", width_step=1, importance="l1")
    result = prune(network, config, example_input=EXAMPLE)
    left = [len(outputs) / len(network.get_submodule(name).weight) for name, outputs in result.kept.items()]
    assert min(left) >= min(0.25, (1 - ratio) / 2) - 1e-9


@pytest.mark.parametrize("importance", ["l1", "group_norm"])
def test_channels_that_do_nothing_go_first(network, importance):
    """Without dead channels the network answers as before."""
    dead = torch.arange(0, 64, 3)
    with torch.no_grad():
        network.expand[0].weight[dead] = 0
        network.expand[1].weight[dead] = 0
        network.expand[1].bias[dead] = -1.0  # relu makes nothing of it
        network.head.weight[:, dead] = 0
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected = network(images)
    keep = ["stem.0", "squeeze"]
    config = PruneConfig(ratio=0.25, importance=importance, scope="global", width_step=1, keep=keep)
    result = prune(network, config, example_input=EXAMPLE)
    assert list(result.kept) == ["expand.0"]
    assert 64 - len(dead) <= len(result.kept["expand.0"]) < 52
    with torch.no_grad():
        torch.testing.assert_close(result.model(images), expected, atol=1e-4, rtol=1e-4)


def test_the_original_is_untouched(network):
    before = copy.deepcopy(network.state_dict())
    network.train()
    result = prune(network, PruneConfig(scope="global", width_step=4), example_input=EXAMPLE)
    assert network.training
    assert not result.model.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(value.grad is None for value in network.parameters())


def test_kept_modules_keep_their_width(network):
    config = PruneConfig(ratio=0.2, width_step=1, keep=["expand.0"])
    result = prune(network, config, example_input=EXAMPLE, keep=[network.squeeze])
    assert result.model.expand[0].out_channels == 64
    assert result.model.squeeze.out_channels == 4
    assert result.model.head.out_features == 3


def test_an_unknown_module_to_keep_is_refused_with_the_nearest_name(network):
    with pytest.raises(OptimizeError, match=r"'stem\.9'.*did you mean 'stem\.\d'"):
        prune(network, PruneConfig(keep=["stem.9"]), example_input=EXAMPLE)


def test_a_share_out_of_reach_is_refused_with_what_can_be_had(network):
    with pytest.raises(OptimizeError, match="out of reach with `width_step` 32"):
        prune(network, PruneConfig(ratio=0.3, width_step=32, keep=["expand.0"]), example_input=EXAMPLE)


def test_a_network_without_layers_is_refused():
    with pytest.raises(OptimizeError, match="nothing to prune"):
        prune(nn.Flatten(), PruneConfig(), example_input=EXAMPLE)


def test_taylor_ranks_by_the_labels(network):
    torch.manual_seed(0)
    batches = [(torch.randn(8, 3, 32, 32), torch.randint(0, 3, (8,))) for _ in range(2)]
    config = PruneConfig(importance="taylor", scope="global", width_step=4)
    result = prune(network, config, example_input=EXAMPLE, batches=batches)
    assert 0.25 <= result.removed("params") <= 0.35
    assert all(value.grad is None for value in result.model.parameters())
    with pytest.raises(OptimizeError, match="labelled images"):
        prune(network, config, example_input=EXAMPLE)


@pytest.mark.parametrize(
    ("family", "options"),
    [("test_resnet", {}), ("test_efficientnet", {}), ("efficientnet_b3", {"cbam": True}), ("resnet50", {})],
)
def test_families_survive_and_reload(family, options, tmp_path):
    """Depthwise layers, squeeze-and-excitation, CBAM and the defect head; then plan and weights from disk."""
    torch.manual_seed(0)
    architecture = Architecture("classify", family, ("a", "b"), 32, options)
    model = build_model(architecture).eval()
    result = prune(model, PruneConfig(width_step=8), example_input=EXAMPLE)
    assert 0.25 <= result.removed("params") <= 0.35
    pruned = Architecture("classify", family, ("a", "b"), 32, options, plan=read_plan(result.model))
    save_model(tmp_path, result.model, pruned)
    again, read = load_model(tmp_path)
    assert read == pruned
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(again(images), result.model(images), atol=0, rtol=0)


DETECTORS = [("yolov8", {}), ("yolov5_resnet", {"backbone": "resnet10t", "width": 64})]
ANSWER = """
    import sys
    from pathlib import Path
    import torch
    from fettle.models import load_model
    torch.set_num_threads(int(sys.argv[3]))  # sums depend on how they are split
    model, _ = load_model(Path(sys.argv[1]))
    images = torch.linspace(0, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64)
    with torch.no_grad():
        torch.save(model(images), sys.argv[2])
"""


@pytest.mark.parametrize(("family", "options"), DETECTORS)
def test_detectors_survive_train_on_and_reload_in_a_new_process(family, options, tmp_path):
    """What gives the answer keeps its width; plan and weights alone rebuild the network."""
    torch.manual_seed(0)
    example = torch.zeros(2, 3, 64, 64)
    architecture = Architecture("detect", family, ("a", "b", "c"), 64, options)
    model, architecture = make_prunable(build_model(architecture).eval(), architecture)
    result = prune(model, PruneConfig(width_step=8), example_input=example)
    assert 0.25 <= result.removed("params") <= 0.35
    assert [p.out_channels for p in result.model.predictors] == [p.out_channels for p in model.predictors]
    boxes, scores = result.model(example)
    assert boxes.shape[0] == scores.shape[0] == 2
    assert (boxes.shape[2], scores.shape[2]) == (4, 3)
    assert len(list(result.model.train()(example))) == len(list(copy.deepcopy(model).train()(example)))
    save_model(tmp_path, result.model.eval(), replace(architecture, plan=read_plan(result.model)))
    threads = str(torch.get_num_threads())
    subprocess.run([sys.executable, "-c", dedent(ANSWER), tmp_path, tmp_path / "answer.pt", threads], check=True)
    again = torch.load(tmp_path / "answer.pt", weights_only=True)
    with torch.no_grad():
        expected = result.model(torch.linspace(0, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64))
    for new, old in zip(again, expected, strict=True):
        torch.testing.assert_close(new, old, atol=0, rtol=0)
