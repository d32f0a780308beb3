"""Dilated convolution with learnable spacings, for any PyTorch model."""

from audio_dcls.dcls.conv import DclsConv, DclsConv1d, DclsConv2d, DclsConv3d, share_positions
from audio_dcls.dcls.conv_transpose import DclsConvTranspose1d, DclsConvTranspose2d, DclsConvTranspose3d
from audio_dcls.dcls.depthwise.operator import DepthwiseConv2d, depthwise_conv
from audio_dcls.dcls.factor_cache import FactorCache
from audio_dcls.dcls.freezing import freeze, frozen, unfreeze
from audio_dcls.dcls.functional import dcls_conv
from audio_dcls.dcls.history import PositionHistory
from audio_dcls.dcls.initialisers import place_grid, place_normal, place_uniform
from audio_dcls.dcls.kernel import construct_kernel, discrete_kernel
from audio_dcls.dcls.parameters import clamp_positions, count_outside, parameter_groups, repulsive_loss
from audio_dcls.dcls.schedules import RepulsionSchedule, SpreadSchedule
from audio_dcls.dcls.swap.kernel_fit import fit_kernels
from audio_dcls.dcls.swap.plan import SwapPlan, SwapReport
from audio_dcls.dcls.swap.rule import SwapRule
from audio_dcls.dcls.swap.swap import plan_swap

__all__ = [
    "DclsConv",
    "DclsConv1d",
    "DclsConv2d",
    "DclsConv3d",
    "DclsConvTranspose1d",
    "DclsConvTranspose2d",
    "DclsConvTranspose3d",
    "DepthwiseConv2d",
    "FactorCache",
    "PositionHistory",
    "RepulsionSchedule",
    "SpreadSchedule",
    "SwapPlan",
    "SwapReport",
    "SwapRule",
    "clamp_positions",
    "construct_kernel",
    "count_outside",
    "dcls_conv",
    "depthwise_conv",
    "discrete_kernel",
    "fit_kernels",
    "freeze",
    "frozen",
    "parameter_groups",
    "place_grid",
    "place_normal",
    "place_uniform",
    "plan_swap",
    "repulsive_loss",
    "share_positions",
    "unfreeze",
]
