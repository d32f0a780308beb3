"""Rectangles of a batch of spectrograms.

A box is four integers (top, left, height, width) in rows (bins or mels) and columns (frames); height or width 0 means
an empty box.
"""

from __future__ import annotations

import torch
from torch import Tensor

from audio_dcls.errors import ArgumentError


def inside_boxes(boxes: Tensor, like: Tensor) -> Tensor:
    """Mark the cells inside boxes (B, ..., 4) of spectrograms (B, ..., rows, columns).

    The result is bool, of the shape and on the device of `like`. Raise an ArgumentError if the shapes do not fit
    together.

    >>> inside_boxes(torch.tensor([[1, 0, 2, 1]]), torch.ones(1, 3, 3)).sum().item()
    2
    """
    if boxes.dim() != like.dim() - 1 or len(boxes) != len(like) or boxes.shape[-1] != 4:
        raise ArgumentError(
            f"`boxes` (={tuple(boxes.shape)}) must be four integers per box, for spectrograms (={tuple(like.shape)})"
        )
    top, left, height, width = boxes.to(like.device, non_blocking=True)[..., None, None].unbind(dim=-3)
    rows = torch.arange(like.shape[-2], device=like.device)[:, None]
    columns = torch.arange(like.shape[-1], device=like.device)
    return ((rows >= top) & (rows < top + height)) & ((columns >= left) & (columns < left + width))
