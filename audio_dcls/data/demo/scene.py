"""One clip of the demo corpus: events in a room, with a background, recorded at some rate.

Length, rate, channels, file format and level do not depend on the classes. Axes: T samples, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.signal
import soxr

from audio_dcls.data.demo.signals import (
    WORLD_RATE_HZ,
    Response,
    Signal,
    add_at,
    band,
    decay,
    filtered,
    log_uniform,
    num_samples_of,
    shaped_noise,
)
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
    """The properties of a recording; they do not depend on its sounds."""

    num_samples: int
    """Length at the world's rate."""
    sample_rate_hz: int
    """Rate of the file."""
    num_channels: int
    container: str
    subtype: str
    """Sample type, by libsndfile's name."""
    level_db: float
    """Intended root mean square, relative to full scale."""

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
    """Synthesise a clip of classes of `SOUNDS`: (T, C) float32 at the recording's rate, between -0.85 and 0.85."""
    dry = np.zeros((recording.num_samples, recording.num_channels), dtype=np.float32)
    for label in labels:
        _add_event(dry, label, rng)
    wet = _microphone(rng, _reverberate(rng, dry))
    bed_gain = np.float32(10 ** (rng.uniform(*_BACKGROUND_LEVEL_DB) / 20))
    world = wet + bed_gain * _background(rng, recording.num_samples, recording.num_channels)
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


def _reverberate(rng: np.random.Generator, dry: Signal) -> Signal:
    """Add the reverberation of a random room: noise that decays exponentially, duller than the sound (Moorer, 1979).

    The room's reverberation time is 0.08 to 0.7 s and its sound 4 to 18 dB below the direct one. Each channel has its
    own tail, as of two microphones at a distance of a metre. Shape: (T, C) -> (T, C).
    """
    t60_s = log_uniform(rng, 0.08, 0.7)
    wet_gain = np.float32(10 ** (-rng.uniform(4, 18) / 20))
    damping_hz = log_uniform(rng, 1500, 8000)
    num_tail = num_samples_of(t60_s)
    predelay = num_samples_of(rng.uniform(0.002, 0.02))
    wet = np.empty_like(dry)
    for channel in range(dry.shape[1]):
        tail = shaped_noise(rng, num_tail, band(100, damping_hz, order=1)) * decay(num_tail, t60_s)
        tail /= np.sqrt(np.sum(np.square(tail)))
        tail = np.concatenate([np.zeros(predelay, dtype=np.float32), tail])
        wet[:, channel] = scipy.signal.oaconvolve(dry[:, channel], tail)[: len(dry)]
    return dry + wet_gain * wet


def _background(rng: np.random.Generator, num_samples: int, num_channels: int) -> Signal:
    """Steady noise at unit root mean square whose spectrum is neither flat nor pink.

    A rumble falls by 9 dB per octave or more from below 200 Hz, a fan is a band of one or two octaves, and a hiss is
    between 2 and 3.5 kHz: so white or pink noise in a clip is always an event, never its background.

    Shape: (T, C).
    """
    kind = rng.choice(["rumble", "fan", "hiss"])
    if kind == "rumble":
        gain = _rumble(rng.uniform(60, 200), rng.uniform(1.5, 2.5))
    else:
        low_hz = log_uniform(rng, 150, 600) if kind == "fan" else rng.uniform(2000, 2600)
        high_hz = low_hz * (rng.uniform(1.5, 3.0) if kind == "fan" else 1.35)
        gain = band(low_hz, high_hz, order=3)
    return np.stack([shaped_noise(rng, num_samples, gain) for _ in range(num_channels)], axis=1)


def _rumble(corner_hz: float, slope: float) -> Response:
    return lambda frequency_hz: 1 / (1 + (frequency_hz / np.float32(corner_hz)) ** np.float32(slope))


def _microphone(rng: np.random.Generator, sound: Signal) -> Signal:
    """Tilt the spectrum by up to 1 dB per octave, as microphones and distance do. Shape: (T, C) -> (T, C)."""
    exponent = np.float32(rng.uniform(-1, 1) / 6.02)
    channels = [filtered(channel, lambda f: (np.maximum(f, 50) / 1000) ** exponent) for channel in sound.T]
    return np.stack(channels, axis=1)


def loudest_moment(sound: Signal) -> float:
    """Root mean square of the loudest eighth of a second, the "fast" time weighting of a sound level meter.

    >>> loudest_moment(np.array([0.0] * 4000 + [0.5, -0.5] * 2000))
    0.5
    """
    window = min(len(sound), num_samples_of(0.125))
    power = np.square(sound[: len(sound) // window * window]).reshape(-1, window).mean(axis=1)
    return float(np.sqrt(power.max()))
