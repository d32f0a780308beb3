"""Operations against the published ones, and products inside the map against a convolution of ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from audio_dcls.speed.flops import count_gflops
from audio_dcls.speed.peers import INPUT_SHAPE, build_peer

# Multiply-accumulates per clip in billions: 7x7, and DCLS as dense 23x23 (the project's recipe, section 8).
PUBLISHED_GMAC = {"convnext_tiny": (5.45, 6.73), "convformer_s18": (5.07, 6.97), "fastvit_sa24": (3.69, 4.88)}


@pytest.mark.parametrize("name", PUBLISHED_GMAC)
def test_nominal_operations_are_the_published_ones(name):
    with torch.device("meta"):
        models = [build_peer(peer, name) for peer in ("stock", "dcls")]
    for model, gmac in zip(models, PUBLISHED_GMAC[name], strict=True):
        assert count_gflops(model, (1, *INPUT_SHAPE))[0] / 2 == pytest.approx(gmac, rel=0.01)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(3, 3, (5, 23), padding=(2, 11), groups=3),
        nn.Conv2d(3, 3, 7, padding="same", groups=3),
        nn.Conv2d(3, 3, (4, 3), padding=1, groups=3, stride=(2, 1), dilation=(1, 2)),
        nn.Conv2d(3, 3, 3, padding="valid", groups=3),
    ],
    ids=str,
)
def test_products_inside_are_those_a_convolution_of_ones_sums(conv):
    x = torch.ones(2, 3, 9, 7)
    products = F.conv2d(x, torch.ones_like(conv.weight), None, conv.stride, conv.padding, conv.dilation, 3).sum()
    assert count_gflops(conv, tuple(x.shape))[1] == pytest.approx(2e-9 * float(products))
