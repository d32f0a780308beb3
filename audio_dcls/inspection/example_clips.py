"""Clips to look at a model with, from sounds that the user names.

Axis legend: N clips, T samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_dcls.data.sound.sound_stream import Sound, resampled_blocks
from audio_dcls.errors import AudioFileError, NothingToShowError
from audio_dcls.frontend import FrontendConfig


def first_clips(
    sounds: Iterable[Sound], most: int, frontend: FrontendConfig, on_problem: Callable[[str], object] | None = None
) -> tuple[Tensor, tuple[str, ...]]:
    """The beginnings of the first sounds that can be read, at the model's rate and length.

    Args:
        sounds: the sounds.
        most: largest number of clips.
        frontend: the model's frontend.
        on_problem: called with the reason why a sound is left out.

    Returns:
        The clips (N, T), and the names of their sounds.

    Raises:
        NothingToShowError: no sound can be read.
    """
    found: list[np.ndarray] = []
    names: list[str] = []
    problems: list[str] = []
    for sound in sounds:
        if len(found) == most:
            break
        try:
            found.append(_beginning(sound, frontend))
        except AudioFileError as error:
            problems.append(str(error))
            continue
        names.append(Path(sound.name).name)
    if not found:
        reason = problems[0] if problems else "the list is empty"
        raise NothingToShowError(f"no sound can be read, so there is nothing to look at: {reason}")
    if on_problem is not None:
        for problem in problems:
            on_problem(problem)
    return torch.from_numpy(np.stack(found)), tuple(names)


def _beginning(sound: Sound, frontend: FrontendConfig) -> np.ndarray:
    clip = np.zeros(frontend.clip_samples, dtype=np.float32)
    filled = 0
    for block in resampled_blocks(sound, sample_rate_hz=frontend.sample_rate_hz):
        taken = block[: len(clip) - filled]
        clip[filled : filled + len(taken)] = taken
        filled += len(taken)
        if filled == len(clip):
            break
    return clip
