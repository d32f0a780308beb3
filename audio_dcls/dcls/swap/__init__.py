"""Swapping convolutions of any model for DCLS."""

from audio_dcls.dcls.swap.plan import SwapPlan, SwapReport
from audio_dcls.dcls.swap.rule import SwapRule
from audio_dcls.dcls.swap.swap import plan_swap

__all__ = ["SwapPlan", "SwapReport", "SwapRule", "plan_swap"]
