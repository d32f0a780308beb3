"""Building blocks of synthesised sounds: tones, waveforms, noise, damped modes, envelopes.

Axes: T samples, N frequencies of a spectrum. All sounds are synthesised at `WORLD_RATE_HZ` and later resampled to the
rate of the file.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

WORLD_RATE_HZ = 32_000
"""Rate of all sounds and rooms, before the clip is resampled to its own rate."""

Signal = NDArray[np.floating]
"""Samples, shape (T,) or (T, C); long signals are float32."""

Response = Callable[[NDArray[np.floating]], NDArray[np.floating]]
"""Amplitude at each frequency in hertz, (N,) -> (N,)."""


def num_samples_of(seconds: float) -> int:
    """Number of samples in a time span at the world's rate.

    >>> num_samples_of(0.04)
    1280
    """
    return max(1, round(seconds * WORLD_RATE_HZ))


def time_s(num_samples: int) -> NDArray[np.float64]:
    """Time of each sample from 0, in seconds. Shape: (T,)."""
    return np.arange(num_samples) / WORLD_RATE_HZ


def cycles(frequency_hz: ArrayLike, num_samples: int, start: float = 0.0) -> NDArray[np.float64]:
    """Phase of an oscillator in cycles, modulo 1, from phase `start` on: the running sum of f / rate, constant or (T,).

    >>> cycles(WORLD_RATE_HZ / 4, 5).tolist()
    [0.0, 0.25, 0.5, 0.75, 0.0]
    """
    frequency_hz = np.asarray(frequency_hz, dtype=np.float64)
    if frequency_hz.ndim == 0:
        phase = start + np.arange(num_samples) * (frequency_hz / WORLD_RATE_HZ)
    else:
        steps = frequency_hz[:num_samples] / WORLD_RATE_HZ
        phase = start + np.cumsum(steps) - steps[0]
    return phase - np.floor(phase)


def tone(frequency_hz: ArrayLike, num_samples: int, start: float = 0.0) -> Signal:
    """A unit sine whose frequency may change over time. Shape: (T,)."""
    return np.sin(cycles(frequency_hz, num_samples, start).astype(np.float32) * np.float32(2 * np.pi))


def periodic(
    frequency_hz: ArrayLike, num_samples: int, amplitudes: ArrayLike, phases: ArrayLike = 0.0, start: float = 0.0
) -> Signal:
    """A harmonic tone read from a table of one period: sum_h amplitudes[h] sin(2 pi ((h + 1) c + phases[h])).

    The fundamental's frequency is constant or (T,), and c its phase, which begins at `start`. Phases are in cycles. The
    highest harmonic must be below half the rate. Shape: (T,).
    """
    amplitudes = np.asarray(amplitudes, dtype=np.float64)
    table_size = 64 * 2 ** int(np.ceil(np.log2(len(amplitudes) + 1)))
    spectrum = np.zeros(table_size // 2 + 1, dtype=np.complex128)
    spectrum[1 : len(amplitudes) + 1] = -0.5j * amplitudes * np.exp(2j * np.pi * np.asarray(phases)) * table_size
    table = np.fft.irfft(spectrum, table_size).astype(np.float32)
    position = (cycles(frequency_hz, num_samples, start) * table_size).astype(np.float32)
    left = np.minimum(position.astype(np.int32), table_size - 1)
    fraction = position - left.astype(np.float32)
    return table[left] * (1 - fraction) + np.append(table[1:], table[0])[left] * fraction


def shaped_noise(rng: np.random.Generator, num_samples: int, gain: Response) -> Signal:
    """Gaussian noise with a given amplitude spectrum, scaled to unit root mean square. Shape: (T,)."""
    size = _fast_size(num_samples)
    spectrum = rng.standard_normal(2 * (size // 2 + 1), dtype=np.float32).view(np.complex64)
    spectrum *= _response(gain, size)
    return _unit(np.fft.irfft(spectrum, size)[:num_samples])


def filtered(signal: Signal, gain: Response, *, unit: bool = False) -> Signal:
    """Zero-phase filter by an amplitude response; `unit` scales the result to unit root mean square. Shape: (T,)."""
    size = _fast_size(len(signal))
    spectrum = np.fft.rfft(signal, size)
    spectrum *= _response(gain, size)
    result = np.fft.irfft(spectrum, size)[: len(signal)]
    return _unit(result) if unit else result


def _fast_size(num_samples: int) -> int:
    """The next length with a fast Fourier transform."""
    return int(scipy.fft.next_fast_len(num_samples, True))  # pyright: ignore[reportArgumentType]


def _response(gain: Response, size: int) -> NDArray[np.floating]:
    return gain(np.arange(size // 2 + 1, dtype=np.float32) * np.float32(WORLD_RATE_HZ / size)).astype(np.float32)


def _unit(signal: Signal) -> Signal:
    return signal / (np.sqrt(np.mean(np.square(signal))) + np.float32(1e-12))


def band(low_hz: float, high_hz: float, order: int = 2) -> Response:
    """Amplitude response of a band-pass with Butterworth-like slopes of 6 `order` dB per octave."""

    def gain(frequency_hz: NDArray[np.floating]) -> NDArray[np.floating]:
        safe_hz = np.maximum(frequency_hz, 1)
        low = np.square(np.float32(low_hz) / safe_hz)
        high = np.square(safe_hz / np.float32(high_hz))
        return 1 / np.sqrt((1 + low**order) * (1 + high**order))

    return gain


def resonances(centres_hz: ArrayLike, widths_hz: ArrayLike, gains: ArrayLike) -> Response:
    """Amplitude response of parallel resonators: sum_k gains[k] / sqrt(1 + ((f - centre_k) / (width_k / 2))^2)."""
    peaks = np.array([centres_hz, widths_hz, gains], dtype=np.float32).T

    def gain(frequency_hz: NDArray[np.floating]) -> NDArray[np.floating]:
        total = np.zeros_like(frequency_hz)
        for centre, width, height in peaks:
            total += height / np.sqrt(1 + np.square((frequency_hz - centre) / (width / 2)))
        return total

    return gain


def decay(num_samples: int, t60_s: float) -> Signal:
    """An exponential envelope that falls by 60 dB in `t60_s` seconds. Shape: (T,)."""
    return np.exp(time_s(num_samples) * (-np.log(1000) / t60_s)).astype(np.float32)


def struck_modes(frequencies_hz: ArrayLike, t60s_s: ArrayLike, amplitudes: ArrayLike, phases: ArrayLike) -> Signal:
    """The sound of a struck body: a sum of damped sines, as long as the slowest takes to fall by 60 dB. Shape: (T,)."""
    num_samples = num_samples_of(float(np.max(np.asarray(t60s_s))))
    total = np.zeros(num_samples, dtype=np.float32)
    for frequency, t60, amplitude, phase in np.array([frequencies_hz, t60s_s, amplitudes, phases]).T:
        if frequency < 0.45 * WORLD_RATE_HZ:
            total += amplitude * tone(frequency, num_samples, phase) * decay(num_samples, t60)
    return total


def gate(num_samples: int, on_s: float, off_s: float, edge_s: float = 0.004) -> Signal:
    """A repeating on / off envelope that starts on, with straight edges. Shape: (T,)."""
    within_s = np.mod(time_s(num_samples), on_s + off_s)
    return np.clip(np.minimum(within_s / edge_s, (on_s - within_s) / edge_s), 0, 1).astype(np.float32)


def faded(signal: Signal, attack_s: float, release_s: float) -> Signal:
    """The signal with raised-cosine ends, each at most half its length. Shape: (T,)."""
    result = signal.copy()
    rise = min(num_samples_of(attack_s), len(signal) // 2)
    fall = min(num_samples_of(release_s), len(signal) // 2)
    if rise > 0:
        result[:rise] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(rise, dtype=np.float32) / rise)
    if fall > 0:
        result[len(result) - fall :] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(fall, dtype=np.float32) / fall)
    return result


def slow_noise(rng: np.random.Generator, num_samples: int, rate_hz: float) -> Signal:
    """A smooth random curve of about unit deviation with at most `rate_hz` turns per second. Shape: (T,)."""
    num_knots = int(np.ceil(num_samples / WORLD_RATE_HZ * 2 * rate_hz)) + 4
    knots = rng.standard_normal(num_knots)
    at = np.arange(num_samples) * (2 * rate_hz / WORLD_RATE_HZ) + 1
    left = at.astype(np.int32)
    fraction = at - left
    ease = fraction * fraction * (3 - 2 * fraction)
    return (knots[left] * (1 - ease) + knots[left + 1] * ease).astype(np.float32)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between two bounds, uniform in its logarithm (as people hear pitch and tempo)."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def add_at(track: Signal, sound: Signal, at_s: float, gain: float = 1.0) -> None:
    """Add a short sound into a track in place, cut at the track's end."""
    first = round(at_s * WORLD_RATE_HZ)
    count = min(len(sound), len(track) - first)
    if count > 0:
        track[first : first + count] += np.float32(gain) * sound[:count]
