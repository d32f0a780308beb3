"""Sources that drive resonators: speech, engine, whistle; and noises: white noise, pink noise, wind, rain.

Every synthesiser has the form (rng, num_samples) -> signal. Axes: T samples at the world's rate, V vowels.
"""

from __future__ import annotations

import numpy as np

from audio_dcls.data.demo.signals import (
    WORLD_RATE_HZ,
    Signal,
    add_at,
    band,
    faded,
    filtered,
    gate,
    log_uniform,
    num_samples_of,
    periodic,
    resonances,
    shaped_noise,
    slow_noise,
    tone,
)

VOWEL_FORMANTS_HZ = (
    (270, 2290, 3010),
    (530, 1840, 2480),
    (730, 1090, 2440),
    (570, 840, 2410),
    (300, 870, 2240),
)
"""First three formants of the vowels in heed, head, hod, hawed and who'd (Peterson and Barney, 1952, mean of men)."""


def speech(rng: np.random.Generator, num_samples: int) -> Signal:
    """Babble of a voice: a glottal source, moving formants, syllables (3 to 6 per second) and consonants."""
    pitch_hz = log_uniform(rng, 90, 240)
    melody = 0.10 * slow_noise(rng, num_samples, 1.5) + 0.03 * slow_noise(rng, num_samples, 6)
    num_harmonics = int(5000 / pitch_hz)
    tilt = np.arange(1, num_harmonics + 1) ** -1.1
    glottis = periodic(pitch_hz * np.exp(melody), num_samples, tilt, 0.25)
    vowels = rng.choice(len(VOWEL_FORMANTS_HZ), size=4, replace=False)
    stretch = rng.uniform(1.0, 1.2)
    weights, consonants = _syllables(rng, num_samples, len(vowels))
    voice = np.zeros(num_samples, dtype=np.float32)
    for weight, vowel in zip(weights, vowels, strict=True):
        tract = resonances(np.array(VOWEL_FORMANTS_HZ[vowel]) * stretch, [80, 110, 160], [1.0, 0.6, 0.3])
        voice += weight * filtered(glottis, tract, unit=True)
    return faded(voice + consonants, 0.01, 0.05)


def _syllables(rng: np.random.Generator, num_samples: int, num_vowels: int) -> tuple[Signal, Signal]:
    """Loudness of each vowel over time, shape (V, T), and the consonants between them, shape (T,)."""
    weights = np.zeros((num_vowels, num_samples), dtype=np.float32)
    consonants = np.zeros(num_samples, dtype=np.float32)
    pace_s = rng.uniform(0.15, 0.26)
    at_s = 0.0
    while at_s < num_samples / WORLD_RATE_HZ:
        for _ in range(rng.integers(3, 9)):
            if rng.uniform() < 0.5:
                count = num_samples_of(rng.uniform(0.04, 0.09))
                low_hz = rng.uniform(1800, 3000)
                hiss = faded(shaped_noise(rng, count, band(low_hz, 2.2 * low_hz)), 0.01, 0.02)
                add_at(consonants, hiss, at_s, rng.uniform(0.15, 0.35))
                at_s += 0.8 * count / WORLD_RATE_HZ
            length_s = pace_s * rng.uniform(0.7, 1.4)
            rise = np.linspace(0, 1, num_samples_of(length_s), dtype=np.float32)
            loudness = faded(np.ones_like(rise), 0.03, 0.06) * np.float32(rng.uniform(0.6, 1.0))
            first, second = rng.integers(num_vowels, size=2)
            add_at(weights[first], loudness * (1 - rise), at_s)
            add_at(weights[second], loudness * rise, at_s)
            at_s += length_s * rng.uniform(0.85, 1.0)
        at_s += rng.uniform(0.15, 0.4)
    return weights, consonants


def engine(rng: np.random.Generator, num_samples: int) -> Signal:
    """A piston engine: four unequal firings per cycle, resonances of the exhaust, varying speed, intake noise."""
    firing_hz = log_uniform(rng, 22, 75)
    depth = rng.uniform(0.03, 0.15)
    speed = np.exp(depth * slow_noise(rng, num_samples, rng.uniform(0.2, 1.0)))
    cycle_hz = firing_hz / 4 * speed
    num_harmonics = int(2500 / firing_hz) * 4
    harmonics = np.arange(1, num_harmonics + 1)
    uneven = np.where(harmonics % 4 == 0, 1.0, rng.uniform(0.1, 0.4, num_harmonics))
    amplitudes = uneven / (1 + (harmonics / 4) ** 0.7)
    pulses = periodic(cycle_hz, num_samples, amplitudes, 0.1 * rng.uniform(size=num_harmonics))
    centres_hz = [rng.uniform(80, 160), rng.uniform(200, 450), rng.uniform(600, 1200)]
    exhaust = resonances(centres_hz, [60, 120, 400], [1, 0.7, 0.3])
    roar = filtered(pulses, lambda f: exhaust(f) + 0.05, unit=True)
    intake = shaped_noise(rng, num_samples, band(200, 2000, order=1)) * np.maximum(0, pulses / np.max(np.abs(pulses)))
    return faded((roar + rng.uniform(1.0, 2.5) * intake).astype(np.float32), 0.1, 0.2)


def whistle(rng: np.random.Generator, num_samples: int) -> Signal:
    """A referee's pea whistle: 2 to 3.2 kHz, interrupted by the pea 22 to 40 times per second, with breath noise."""
    frequency_hz = rng.uniform(2000, 3200)
    pea_hz = rng.uniform(22, 40) * (1 + 0.05 * slow_noise(rng, num_samples, 3))
    flutter = tone(pea_hz, num_samples, rng.uniform())
    glide_hz = frequency_hz * (1 + 0.02 * flutter + 0.01 * slow_noise(rng, num_samples, 2))
    reed = tone(glide_hz, num_samples) + 0.35 * tone(glide_hz * 1.06, num_samples)
    breath = shaped_noise(rng, num_samples, band(frequency_hz * 0.85, frequency_hz * 1.2, order=3))
    blown = reed * (0.6 + 0.4 * flutter) + 0.25 * breath
    on_s, off_s = log_uniform(rng, 0.25, 1.5), rng.uniform(0.15, 0.5)
    return blown * gate(num_samples, on_s, off_s, edge_s=0.03)


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
