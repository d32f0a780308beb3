"""Dilated convolution with learnable spacings, for any PyTorch model."""

from audio_dcls.dcls.conv import (
    DclsConv,
    DclsConv1d,
    DclsConv2d,
    DclsConv3d,
    share_positions,
)
from audio_dcls.dcls.factor_cache import FactorCache
from audio_dcls.dcls.kernel import construct_kernel

__all__ = [
    "DclsConv",
    "DclsConv1d",
    "DclsConv2d",
    "DclsConv3d",
    "FactorCache",
    "construct_kernel",
    "share_positions",
]
