"""Rooms and backgrounds around the sounds of a clip.

Axes: T samples at the world's rate, C channels.
"""

from __future__ import annotations

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from audio_dcls.data.demo.signals import (
    Response,
    Signal,
    band,
    decay,
    filtered,
    log_uniform,
    num_samples_of,
    shaped_noise,
)


def reverberate(rng: np.random.Generator, dry: Signal) -> Signal:
    """Add the reverberation of a random room: noise that decays exponentially, duller than the sound (Moorer, 1979).

    The room's reverberation time is 0.08 to 0.7 s and its sound 4 to 18 dB below the direct one. Each channel has its
    own tail, as of two microphones at a distance of a metre.

    Args:
        rng: source of the room's random numbers.
        dry: sounds before the room.

    Shape: (T, C) -> (T, C).
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


def background(rng: np.random.Generator, num_samples: int, num_channels: int) -> Signal:
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
    def gain(frequency_hz: NDArray[np.floating]) -> NDArray[np.floating]:
        return 1 / (1 + (frequency_hz / np.float32(corner_hz)) ** np.float32(slope))

    return gain


def microphone(rng: np.random.Generator, sound: Signal) -> Signal:
    """Tilt the spectrum by up to 1 dB per octave, as microphones and distance do. Shape: (T, C) -> (T, C)."""
    exponent = np.float32(rng.uniform(-1, 1) / 6.02)
    channels = [filtered(channel, lambda f: (np.maximum(f, 50) / 1000) ** exponent) for channel in sound.T]
    return np.stack(channels, axis=1)
