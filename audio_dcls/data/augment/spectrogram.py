"""Rectangles of a spectrogram set to zero: random erasing before the mel filter, SpecAugment masks after it.

Axes: B batch, N frequency bins of the linear spectrogram, M mels, F frames, R rectangles.
A box is four integers (top, left, height, width) in rows (bins or mels) and columns (frames); zeros mean none.
Boxes are drawn with each clip, on the CPU; they are applied to a whole batch on the training device.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from audio_dcls.errors import ArgumentError


def draw_erase_box(
    num_bins: int,
    num_frames: int,
    rng: np.random.Generator,
    probability: float,
    area: tuple[float, float] = (0.02, 0.33),
    ratio: tuple[float, float] = (0.3, 3.3),
) -> np.ndarray:
    """Draw the one rectangle of random erasing (Zhong et al., 2017, arXiv 1708.04896), or none.

    Its share of the spectrogram is uniform over `area`, the logarithm of height / width uniform over `ratio`, its place
    uniform over where it fits. A rectangle as high or as wide as the spectrogram is drawn again, ten times at most,
    then nothing is erased: these are the rules of timm and torchvision, so shares come out slightly below uniform.

    Args:
        num_bins: rows, at least 1.
        num_frames: columns, at least 1.
        rng: source of the draws.
        probability: share of clips with a rectangle, 0 to 1.
        area: smallest and largest share of the spectrogram, 0 to 1.
        ratio: smallest and largest height / width, above 0.

    Shape:
        (4,) int64: top, left, height, width.

    Raises:
        ArgumentError: a share or ratio is out of range or reversed.

    >>> draw_erase_box(513, 1001, np.random.default_rng(0), probability=0.0).tolist()
    [0, 0, 0, 0]
    """
    if not 0 <= probability <= 1:
        raise ArgumentError(f"`probability` (={probability}) must be from 0 to 1; 0 turns erasing off")
    if not 0 < area[0] <= area[1] <= 1:
        raise ArgumentError(f"`area` (={area}) must be (low, high) with 0 < low <= high <= 1")
    if not 0 < ratio[0] <= ratio[1] < math.inf:
        raise ArgumentError(f"`ratio` (={ratio}) must be (low, high) with 0 < low <= high")
    box = np.zeros(4, dtype=np.int64)
    if rng.random() >= probability:
        return box
    for _ in range(10):
        num_cells = rng.uniform(*area) * num_bins * num_frames
        height_over_width = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        height = round(math.sqrt(num_cells * height_over_width))
        width = round(math.sqrt(num_cells / height_over_width))
        if 0 < height < num_bins and 0 < width < num_frames:
            box[:] = rng.integers(num_bins - height + 1), rng.integers(num_frames - width + 1), height, width
            break
    return box


def draw_mask_boxes(
    num_mels: int, num_frames: int, rng: np.random.Generator, *, freq_mask_mels: int, time_mask_frames: int
) -> np.ndarray:
    """Draw one band of mels and one stretch of frames to mask (SpecAugment, Park et al., 2019, arXiv 1904.08779).

    Args:
        num_mels: rows of the spectrogram.
        num_frames: columns of the spectrogram.
        rng: source of the draws.
        freq_mask_mels: largest height of the band, 0 (off) to num_mels; the height is uniform from 0.
        time_mask_frames: largest width of the stretch, 0 (off) to num_frames; the width is uniform from 0.

    Shape:
        (2, 4) int64: the band, then the stretch, each top, left, height, width.

    Raises:
        ArgumentError: a width is out of range.

    >>> draw_mask_boxes(128, 1001, np.random.default_rng(0), freq_mask_mels=0, time_mask_frames=0).tolist()
    [[0, 0, 0, 1001], [0, 0, 128, 0]]
    """
    if not 0 <= freq_mask_mels <= num_mels:
        raise ArgumentError(f"`freq_mask_mels` (={freq_mask_mels}) must be from 0 (off) to the {num_mels} mels")
    if not 0 <= time_mask_frames <= num_frames:
        raise ArgumentError(f"`time_mask_frames` (={time_mask_frames}) must be from 0 (off) to the {num_frames} frames")
    height = rng.integers(freq_mask_mels + 1)
    top = rng.integers(num_mels - height + 1) if height else 0
    width = rng.integers(time_mask_frames + 1)
    left = rng.integers(num_frames - width + 1) if width else 0
    return np.array([[top, 0, height, num_frames], [0, left, num_mels, width]], dtype=np.int64)


def erase_boxes(power: Tensor, boxes: Tensor) -> Tensor:
    """Set each clip's rectangle of the linear power spectrogram to zero.

    Args:
        power: (B, N, F).
        boxes: (B, 4) integers, on any device.

    Shape:
        (B, N, F), a new tensor.

    Raises:
        ArgumentError: the shapes do not go together.

    >>> erase_boxes(torch.ones(1, 3, 3), torch.tensor([[1, 0, 2, 1]])).sum().item()
    7.0
    """
    if power.dim() != 3 or boxes.shape != (len(power), 4):
        raise ArgumentError(
            f"`boxes` (={tuple(boxes.shape)}) must be (B, 4) for `power` (B, N, F) (={tuple(power.shape)})"
        )
    return power.masked_fill(_inside(boxes, power.shape[1], power.shape[2], power.device), 0.0)


def mask_mel(mel: Tensor, boxes: Tensor) -> Tensor:
    """Set each clip's rectangles of the normalised mel spectrogram to zero, its mean over the training set.

    Args:
        mel: (B, 1, M, F).
        boxes: (B, R, 4) integers, on any device.

    Shape:
        (B, 1, M, F), a new tensor.

    Raises:
        ArgumentError: the shapes do not go together.

    >>> mask_mel(torch.ones(1, 1, 3, 3), torch.tensor([[[1, 0, 1, 3], [0, 0, 3, 1]]])).sum().item()
    4.0
    """
    if mel.dim() != 4 or boxes.dim() != 3 or len(boxes) != len(mel) or boxes.shape[2] != 4:
        raise ArgumentError(
            f"`boxes` (={tuple(boxes.shape)}) must be (B, R, 4) for `mel` (B, 1, M, F) (={tuple(mel.shape)})"
        )
    inside = _inside(boxes, mel.shape[2], mel.shape[3], mel.device).any(dim=1, keepdim=True)
    return mel.masked_fill(inside, 0.0)


def _inside(boxes: Tensor, num_rows: int, num_columns: int, device: torch.device) -> Tensor:
    """Cells inside each box: (..., 4) to (..., num_rows, num_columns) bool."""
    top, left, height, width = boxes.to(device, non_blocking=True)[..., None, None].unbind(dim=-3)
    rows = torch.arange(num_rows, device=device)[:, None]
    columns = torch.arange(num_columns, device=device)
    return ((rows >= top) & (rows < top + height)) & ((columns >= left) & (columns < left + width))
