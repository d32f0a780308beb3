"""One clip of the demo corpus: events in a room, with a background, recorded at some rate.

Length, rate, channels, file format and level do not depend on the classes. Axes: T samples, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from audio_dcls.data.demo.room import background, microphone, reverberate
from audio_dcls.data.demo.signals import WORLD_RATE_HZ, Signal, add_at, num_samples_of
from audio_dcls.data.demo.sounds import SOUNDS

_SAMPLE_RATES_HZ = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000)

FORMATS = (("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"))
"""Container and sample type, by libsndfile's names."""

_FORMAT_WEIGHTS = (0.25, 0.1, 0.1, 0.25, 0.3)
"""Probability of each format; formats with large files are rarer."""

_LENGTH_STEP_S = 0.04
"""Clip lengths are multiples of this: a whole number of samples at each rate, and of milliseconds."""

_SHORTEST_S, _LONGEST_S = 1.0, 14.0

TRAINED_S = 10.0
"""Training takes the first ten seconds of a clip; they hold `_HEARD_S` of every event, or all of it."""

_HEARD_S = 1.5

_EVENT_LEVEL_DB = (-6.0, 0.0)
"""Level of the loudest eighth of a second of each event, relative to the clip's reference."""

_BACKGROUND_LEVEL_DB = (-40.0, -18.0)

_CLIP_LEVEL_DB = (-36.0, -14.0)
"""Root mean square of the whole clip relative to full scale; lower if the peak would be too high."""

_PEAK_LIMIT = 0.85
"""Largest sample, below full scale, because a Vorbis decoder may exceed the encoded peak."""


@dataclass(frozen=True)
class Recording:
    """The properties of a recording; they do not depend on its sounds.

    Args:
        num_samples: length at the world's rate.
        sample_rate_hz: rate of the file.
        num_channels: 1 or 2.
        container: `WAV`, `FLAC` or `OGG`.
        subtype: sample type, by libsndfile's name.
        level_db: intended root mean square, relative to full scale.
    """

    num_samples: int
    sample_rate_hz: int
    num_channels: int
    container: str
    subtype: str
    level_db: float

    @property
    def length_s(self) -> float:
        """Length of the clip in seconds, a whole number of milliseconds."""
        return self.num_samples / WORLD_RATE_HZ


def draw_recording(rng: np.random.Generator) -> Recording:
    """Draw length (1 to 14 s, most of them 4 to 11), rate, channels, format and level."""
    seconds = _SHORTEST_S + (_LONGEST_S - _SHORTEST_S) * rng.beta(1.8, 2.0)
    container, subtype = FORMATS[rng.choice(len(FORMATS), p=_FORMAT_WEIGHTS)]
    return Recording(
        num_samples=num_samples_of(_LENGTH_STEP_S) * round(seconds / _LENGTH_STEP_S),
        sample_rate_hz=_SAMPLE_RATES_HZ[rng.integers(len(_SAMPLE_RATES_HZ))],
        num_channels=1 + int(rng.uniform() < 0.4),
        container=container,
        subtype=subtype,
        level_db=rng.uniform(*_CLIP_LEVEL_DB),
    )


def render(labels: Sequence[int], recording: Recording, rng: np.random.Generator) -> Signal:
    """Synthesise a clip.

    Args:
        labels: indices into `SOUNDS`.
        recording: its properties.
        rng: source of all random numbers.

    Shape:
        (T, C) float32 at the recording's rate, between -0.85 and 0.85.
    """
    dry = np.zeros((recording.num_samples, recording.num_channels), dtype=np.float32)
    for label in labels:
        _add_event(dry, label, rng)
    wet = microphone(rng, reverberate(rng, dry))
    bed_gain = np.float32(10 ** (rng.uniform(*_BACKGROUND_LEVEL_DB) / 20))
    world = wet + bed_gain * background(rng, recording.num_samples, recording.num_channels)
    sound = soxr.resample(world, WORLD_RATE_HZ, recording.sample_rate_hz)
    gain = 10 ** (recording.level_db / 20) / np.sqrt(np.mean(np.square(sound)))
    return sound * np.float32(min(gain, _PEAK_LIMIT / np.max(np.abs(sound))))


def _add_event(dry: Signal, label: int, rng: np.random.Generator) -> None:
    """Add one event of a class to the clip, with a random time, length, level and side."""
    clip_s = len(dry) / WORLD_RATE_HZ
    span_s = min(clip_s, max(_SHORTEST_S, clip_s * rng.uniform(0.5, 1.0)))
    latest_s = min(clip_s - span_s, max(0.0, min(clip_s, TRAINED_S) - min(span_s, _HEARD_S)))
    event = SOUNDS[label].synthesise(rng, num_samples_of(span_s))
    gain = 10 ** (rng.uniform(*_EVENT_LEVEL_DB) / 20) / loudest_moment(event)
    onset_s = rng.uniform(0.0, latest_s)
    side = rng.uniform(0.25, 0.75) if dry.shape[1] == 2 else 0.5
    for channel, share in enumerate((side, 1 - side)[: dry.shape[1]]):
        add_at(dry[:, channel], event, onset_s, gain * np.sqrt(2 * share))


def loudest_moment(sound: Signal) -> float:
    """Root mean square of the loudest eighth of a second, the "fast" time weighting of a sound level meter.

    >>> loudest_moment(np.array([0.0] * 4000 + [0.5, -0.5] * 2000))
    0.5
    """
    window = min(len(sound), num_samples_of(0.125))
    power = np.square(sound[: len(sound) // window * window]).reshape(-1, window).mean(axis=1)
    return float(np.sqrt(power.max()))
