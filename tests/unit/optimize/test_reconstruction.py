"""What is left of a network answers as the whole one did, without training."""

import copy

import pytest
import torch
from torch import nn

from fettle.models.depth import skip_blocks
from fettle.optimize.channels import remove_channels
from fettle.optimize.pruning import prune
from fettle.optimize.reconstruction import answers_of, estimate_norms, reconstruct
from fettle.spec import PruneConfig

EXAMPLE = torch.zeros(2, 3, 32, 32)


def images(count: int = 48, seed: int = 0) -> torch.Tensor:
    """Smooth ones, as photographs are."""
    coarse = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, size=32, mode="bilinear")


def distance(model: nn.Module, whole: nn.Module, seed: int = 1) -> float:
    """Share of the whole network's answers that another one misses, on images that nothing was fitted to."""
    with torch.no_grad():
        wanted, found = whole(images(seed=seed)), model(images(seed=seed))
    return float((found - wanted).square().sum() / (wanted - wanted.mean(0)).square().sum())


@pytest.fixture
def lively(network):
    """With statistics of its own, as training leaves them."""
    estimate_norms(network, images())
    return network.eval()


@pytest.mark.parametrize("importance", ["l1", "group_norm"])
def test_a_pruned_network_comes_back_most_of_the_way(lively, importance):
    before = copy.deepcopy(lively.state_dict())
    config = PruneConfig(ratio=0.5, width_step=2, importance=importance)
    pruned = prune(lively, config, example_input=EXAMPLE)
    broken = distance(pruned.model, lively)
    reconstruct(pruned.model, answers_of(lively, images()), images(), kept=pruned.kept)
    assert distance(pruned.model, lively) < 0.3 * broken
    assert not any(module.training for module in pruned.model.modules())
    assert all(torch.equal(value, before[name]) for name, value in lively.state_dict().items()), "the whole one is left"


def test_what_repeats_another_channel_is_not_missed():
    torch.manual_seed(0)
    whole = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(6, 4),
    ).eval()  # fmt: skip
    with torch.no_grad():
        for layer in (whole[0].weight, whole[0].bias):
            layer[4:] = layer[:4] * torch.tensor([0.2, 0.3, 0.4, 0.5]).view(-1, *[1] * (layer.dim() - 1))
    config = PruneConfig(importance="l1", ratio=0.99, width_step=1)
    left, kept = remove_channels(whole, config, {"0": 0.5}, example_input=EXAMPLE, keep=["6"])
    assert kept == {"0": [0, 1, 2, 3]}
    broken = distance(left, whole)
    reconstruct(left, answers_of(whole, images()), images(), kept=kept)
    assert distance(left, whole) < 0.05 * broken


def test_the_outputs_that_are_left_are_told_in_the_whole_networks_numbers(lively):
    config = PruneConfig(importance="l1", ratio=0.9, width_step=1)
    left, kept = remove_channels(lively, config, {"expand.0": 0.5}, example_input=EXAMPLE, keep=["head"])
    assert kept["expand.0"] == sorted(kept["expand.0"])
    assert torch.equal(left.expand[0].weight, lively.expand[0].weight[kept["expand.0"]])
    assert "head" not in kept


class Blocks(nn.Module):
    """Two residual blocks, and a layer that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.blocks = nn.ModuleList(self._block() for _ in range(2))
        self.twice = nn.Conv2d(8, 8, 1)
        self.frozen = nn.Conv2d(8, 8, 1).requires_grad_(False)
        self.head = nn.Linear(8, 4)

    def _block(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).relu()
        for block in self.blocks:
            x = x + block(x)
        x = self.twice(self.twice(x).relu())
        return self.head(self.frozen(x).mean((2, 3)))


def test_what_a_skipped_block_did_is_done_by_others():
    torch.manual_seed(0)
    whole = Blocks().eval()
    estimate_norms(whole, images())
    left = copy.deepcopy(whole)
    skip_blocks(left, ["blocks.0"])
    broken = distance(left, whole) if isinstance(left.blocks[0], nn.Identity) else None
    reconstruct(left, answers_of(whole, images()), images(), kept={})
    assert broken
    assert distance(left, whole) < 0.5 * broken
    assert torch.equal(left.frozen.weight, whole.frozen.weight)
    assert not torch.equal(left.head.weight, whole.head.weight)
    assert left.blocks[1][1].momentum == whole.blocks[1][1].momentum


def test_a_network_that_lost_nothing_stays_what_it_is(lively):
    same = copy.deepcopy(lively)
    reconstruct(same, answers_of(lively, images()), images(), kept={})
    assert distance(same, lively) < 1e-3


def test_what_cannot_be_fitted_is_left(lively):
    one, none = copy.deepcopy(lively), copy.deepcopy(lively)
    reconstruct(one, answers_of(lively, images(1)), images(1), kept={})
    nothing = torch.full((4, 3, 32, 32), torch.nan)
    reconstruct(none, answers_of(lively, nothing), nothing, kept={})
    for left in (one, none):
        assert torch.equal(left.stem[0].weight, lively.stem[0].weight)
    assert torch.equal(one.stem[1].running_mean, lively.stem[1].running_mean)


def test_without_batch_norms_and_biases_the_mean_is_fitted_too():
    torch.manual_seed(0)
    whole = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 900, 4, bias=False)
    ).eval()
    left = copy.deepcopy(whole)
    with torch.no_grad():
        left[3].weight.mul_(0.5)
    reconstruct(left, answers_of(whole, images()), images(), kept={})
    with torch.no_grad():
        wanted, found = whole(images()), left(images())
    assert float((found - wanted).square().sum() / wanted.square().sum()) < 0.05
