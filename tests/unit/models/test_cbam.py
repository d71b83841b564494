"""CBAM against the formulas of the paper, written out in numpy."""

import numpy as np
import torch

from fettle.models.cbam import CBAM


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def reference(module: CBAM, x: np.ndarray) -> np.ndarray:
    """Equations 1 to 3 of Woo et al. 2018 for x (N, C, H, W), position by position."""
    first, second = (module.channel.mlp[i].weight.detach().numpy()[:, :, 0, 0] for i in (0, 2))

    def mlp(pooled: np.ndarray) -> np.ndarray:
        return np.maximum(pooled @ first.T, 0) @ second.T

    channel = sigmoid(mlp(x.mean((2, 3))) + mlp(x.max((2, 3))))
    x = x * channel[:, :, None, None]
    kernel = module.spatial.conv.weight.detach().numpy()[0]
    pooled = np.stack([x.mean(1), x.max(1)], axis=1)
    padded = np.pad(pooled, ((0, 0), (0, 0), (3, 3), (3, 3)))
    spatial = np.zeros((len(x), *x.shape[2:]))
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            window = padded[:, :, row : row + 7, column : column + 7]
            spatial[:, row, column] = (window * kernel).sum((1, 2, 3))
    return x * sigmoid(spatial)[:, None]


def test_cbam_is_what_the_paper_says() -> None:
    torch.manual_seed(0)
    module = CBAM(32)
    x = torch.randn(2, 32, 5, 6)
    np.testing.assert_allclose(module(x).detach().numpy(), reference(module, x.numpy()), rtol=1e-4, atol=1e-5)


def test_the_hidden_layer_is_reduced_but_not_to_nothing() -> None:
    assert CBAM(384).channel.mlp[0].out_channels == 24
    assert CBAM(32).channel.mlp[0].out_channels == 8
