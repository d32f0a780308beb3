"""Noises: white noise, pink noise, wind, rain.

Every synthesiser has the form (rng, num_samples) -> signal. Axes: T samples at the world's rate.
"""

from __future__ import annotations

import numpy as np

from audio_dcls.data.demo.signals import (
    WORLD_RATE_HZ,
    Signal,
    band,
    faded,
    filtered,
    log_uniform,
    num_samples_of,
    shaped_noise,
    slow_noise,
)


def white_noise(rng: np.random.Generator, num_samples: int) -> Signal:
    """Noise of equal power in every hertz."""
    sound = shaped_noise(rng, num_samples, np.ones_like)
    return faded(sound, rng.uniform(0.01, 0.3), rng.uniform(0.01, 0.3))


def pink_noise(rng: np.random.Generator, num_samples: int) -> Signal:
    """Noise of equal power in every octave: power falls as 1 / f, 3 dB per octave, above 20 Hz."""
    sound = shaped_noise(rng, num_samples, lambda f: 1 / np.sqrt(np.maximum(f, 20)))
    return faded(sound, rng.uniform(0.01, 0.3), rng.uniform(0.01, 0.3))


def wind(rng: np.random.Generator, num_samples: int) -> Signal:
    """Gusts: a few narrow bands of low noise that rise and fall independently, and a rumble."""
    gust_rate_hz = rng.uniform(0.3, 0.9)
    gusts = slow_noise(rng, num_samples, gust_rate_hz)
    total = 0.3 * shaped_noise(rng, num_samples, band(60, 180)) * np.exp(0.5 * gusts)
    centre_hz = log_uniform(rng, 250, 600)
    for step in range(4):
        low_hz = centre_hz * 1.35**step
        swell = 0.7 * gusts + 0.7 * slow_noise(rng, num_samples, gust_rate_hz * 1.5) - 0.35 * step
        total += shaped_noise(rng, num_samples, band(low_hz * 0.9, low_hz * 1.12, order=4)) * np.exp(1.2 * swell)
    return faded(total.astype(np.float32), 0.3, 0.3)


def rain(rng: np.random.Generator, num_samples: int) -> Signal:
    """Hundreds of drops per second on a hard surface, some of them near, and the hiss of distant drops."""
    drops = np.zeros(num_samples, dtype=np.float32)
    num_far = rng.poisson(rng.uniform(400, 1200) * num_samples / WORLD_RATE_HZ)
    drops[rng.integers(num_samples, size=num_far)] = rng.standard_normal(num_far)
    near_rate_hz = rng.uniform(15, 50)
    num_near = rng.poisson(near_rate_hz * num_samples / WORLD_RATE_HZ)
    drops[rng.integers(num_samples, size=num_near)] += rng.uniform(3, 8, num_near)
    patter = filtered(drops, band(rng.uniform(900, 1600), rng.uniform(5000, 9000)), unit=True)
    low_hz = rng.uniform(1500, 2500)
    hiss = shaped_noise(rng, num_samples, band(low_hz, 10_000, order=1))
    tail = np.exp(-np.arange(num_samples_of(0.004)) / num_samples_of(0.001)).astype(np.float32)
    splash = np.convolve(np.abs(drops), tail)[:num_samples] * shaped_noise(rng, num_samples, band(low_hz, 7000))
    splash /= np.sqrt(np.mean(np.square(splash))) + 1e-9
    sound = patter + rng.uniform(0.4, 0.8) * hiss + 0.7 * splash
    return faded(sound.astype(np.float32), 0.2, 0.2)
