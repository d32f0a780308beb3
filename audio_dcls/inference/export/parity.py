"""Compare the probabilities of an exported graph with those of the model.

Axes: W windows, T samples, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from audio_dcls.data.sound.decode import fit_length, read_clip
from audio_dcls.dcls import freeze
from audio_dcls.errors import ArgumentError
from audio_dcls.models.activation import activate
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint

TOLERANCE = 1e-4
"""Largest difference of a probability."""
_LENGTHS = (1.0, 1.37, 2.5, 4.0)
"""Lengths of the generated sounds, in units of the shortest sound of a graph."""


@dataclass(frozen=True)
class Parity:
    """Largest differences of a probability, over sounds and classes."""

    num_sounds: int
    eager: float
    """Difference between the graph and the model."""
    exact: float
    """Difference between the graph and the model in float64."""
    rounding: float
    """Difference between the model and the model in float64."""
    is_kept: bool
    """True if for every sound the graph is within the tolerance of the model, or nearer to the model in float64 than
    the model itself is (a model may amplify rounding)."""


def check_parity(
    loaded: LoadedCheckpoint,
    run: Callable[[np.ndarray], np.ndarray],
    sounds: Iterable[np.ndarray],
    *,
    min_samples: int,
    tolerance: float = TOLERANCE,
) -> Parity:
    """Compare a graph with its model, sound by sound, in batches of one and of two.

    `run` is the graph, (W, T) -> (W, C) probabilities; the model of `loaded` is not changed. Sounds are (T,) at the
    model's rate, and those shorter than `min_samples` are padded with zeros. `ArgumentError` if there is no sound.
    """
    eager = copy.deepcopy(loaded.model).cpu().float().eval()
    exact = freeze(copy.deepcopy(eager).double())
    freeze(eager)
    from_exact, from_eager, roundings = [], [], []
    for sound in sounds:
        one = fit_length(sound.astype(np.float32), max(len(sound), min_samples))[None]
        with torch.inference_mode():
            wanted = exact(torch.from_numpy(one).double())
            wanted = (wanted.softmax(1) if loaded.activation == "softmax" else wanted.sigmoid()).numpy()
            rounded = activate(eager(torch.from_numpy(one)), loaded.activation).numpy()
        found = run(one)
        twice = run(np.concatenate([one, one[:, ::-1]]))[:1]
        from_exact.append(max(_difference(found, wanted), _difference(twice, wanted)))
        from_eager.append(max(_difference(found, rounded), _difference(twice, rounded)))
        roundings.append(_difference(rounded, wanted))
    if not from_exact:
        raise ArgumentError("`sounds` (=()) must hold at least one sound; leave it out to check with generated ones")
    differences = zip(from_eager, from_exact, roundings, strict=True)
    is_kept = all(eager <= tolerance or exact <= rounding for eager, exact, rounding in differences)
    return Parity(len(from_exact), max(from_eager), max(from_exact), max(roundings), is_kept)


def made_sounds(min_samples: int, sample_rate_hz: int) -> tuple[np.ndarray, ...]:
    """Generate sounds of several lengths: noise and a gliding tone, which swell.

    >>> [len(sound) for sound in made_sounds(1000, 32000)]
    [1000, 1370, 2500, 4000]
    """
    generator = np.random.default_rng(0)
    sounds = []
    for length in _LENGTHS:
        time_s = np.arange(round(length * min_samples)) / sample_rate_hz
        swell = 0.05 + 0.2 * np.sin(np.pi * np.arange(len(time_s)) / len(time_s)) ** 2
        tone = np.sin(2 * np.pi * (300 + 900 * time_s) * time_s)
        noise = generator.standard_normal(len(time_s))
        sounds.append((swell * (0.3 * noise + 0.7 * tone)).astype(np.float32))
    return tuple(sounds)


def read_sounds(paths: Sequence[str | Path], sample_rate_hz: int) -> Iterator[np.ndarray]:
    """Read whole sound files; `AudioFileError` if one is missing or is not a sound."""
    for path in paths:
        yield read_clip(path, sample_rate_hz=sample_rate_hz, require_sound=False)


def _difference(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).max())
