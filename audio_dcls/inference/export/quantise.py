"""Eight-bit weights: dynamic quantisation of a tagger's matrix products in ONNX.

Axes: N batch, C D channels in and out, H W rows and columns.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from audio_dcls.extras import need_package
from audio_dcls.inference.export.waveform_graph import WaveformGraph

QUANTISED_OPERATORS = ("MatMul", "Gemm")
"""Convolutions stay float: ONNX Runtime has no fast integer form of the depthwise ones, nor one scale per channel."""


class PointwiseProduct(nn.Module):
    """A 1x1 convolution, (N, C, H, W) -> (N, D, H, W), as a matrix product over channels, which quantisation takes.

    >>> conv, x = nn.Conv2d(3, 5, 1), torch.ones(2, 3, 4, 6)
    >>> bool((PointwiseProduct(conv)(x) - conv(x)).abs().max() < 1e-6)
    True
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.product = nn.Linear(conv.in_channels, conv.out_channels, bias=conv.bias is not None)
        with torch.no_grad():
            self.product.weight.copy_(conv.weight.flatten(1))
            if conv.bias is not None:
                self.product.bias.copy_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution."""
        return self.product(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def use_products(graph: WaveformGraph) -> WaveformGraph:
    """Turn a graph's 1x1 convolutions into matrix products, in place; its results stay."""
    for parent in list(graph.backbone.modules()):
        for name, child in list(parent._modules.items()):
            if type(child) is nn.Conv2d and _is_pointwise(child):
                setattr(parent, name, PointwiseProduct(child))
    return graph


def quantise_onnx(content: bytes) -> bytes:
    """Store the weights of an ONNX file's matrix products in eight bits, one scale a column.

    What goes into a product is quantised when it runs, by the range of its values in the whole batch, so scores depend
    a little on what else is in the batch.
    """
    onnx = need_package("onnx", "onnx")
    quantization = need_package("onnxruntime.quantization", "onnx")
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        path = Path(folder) / "int8.onnx"
        quantization.quantize_dynamic(
            onnx.load_model_from_string(content),
            path,
            op_types_to_quantize=list(QUANTISED_OPERATORS),
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            extra_options={"MatMulConstBOnly": True},
        )
        return path.read_bytes()


def _is_pointwise(conv: nn.Conv2d) -> bool:
    return conv.kernel_size == (1, 1) and conv.stride == (1, 1) and conv.groups == 1 and conv.padding == (0, 0)


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """The quantiser advises on the root logger to run its preprocessing, which torch's exporter has done."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
