"""Large-kernel depthwise convolution, forward and backward, by the fastest exact method."""

from audio_dcls.dcls.depthwise.operator import DepthwiseConv2d, depthwise_conv

__all__ = ["DepthwiseConv2d", "depthwise_conv"]
