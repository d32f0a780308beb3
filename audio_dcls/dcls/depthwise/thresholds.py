"""The sizes from which one method of depthwise convolution is used instead of another.

`forward` and `weight_gradient` choose by them on a CPU; on CUDA devices the methods are measured (`tuning`).
"""

from __future__ import annotations

FORWARD_COMPILED_MIN_TAPS = 25
"""Smallest kernel, rows times columns, convolved by generated code: for 3 x 3 torch is as fast or faster."""
GRADIENT_COMPILED_MIN_TAPS = 10
"""Smallest kernel, rows times columns, whose weight gradient generated code computes: for 3 x 3 torch is as fast."""
COMPILED_MIN_PRODUCTS = 2**19
"""Fewest multiply-adds for which generated code is used: making it takes some tens of milliseconds per shape."""
COMPILED_MAX_ROW_PRODUCTS = 4096
"""Longest generated row, in vector multiply-adds: a core's instruction cache holds it with room to spare."""
GRADIENT_TORCH_MAX_TAPS = 49
"""Largest kernel, rows times columns, for which torch's gradient is the fastest without generated code."""
GRADIENT_TORCH_MAX_COLUMNS = 13
"""Widest kernel, in columns, whose gradient torch computes: its bfloat16 code for wider ones may never return."""
GRADIENT_GEMM_MAX_WIDTH = 18
"""Widest map, in columns, on which matrix products over pairs of columns cost less than Fourier transforms."""
LOW_PRECISION_MAX_TAPS = 13
"""Widest kernel, in columns, that a CPU convolves in bfloat16 or float16 on a map of any width."""
LOW_PRECISION_MAX_WIDTH = 28
"""Widest map, in columns, that a CPU convolves in bfloat16 or float16 with a kernel of any width.

Where both limits are exceeded, the convolution goes through float32 (see `forward.hangs_in_low_precision`).
"""
