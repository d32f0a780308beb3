"""Struck and clicking objects: tick, tick-tock, knock, clapping, typing, drip, heartbeat, bell.

Every synthesiser has the form (rng, num_samples) -> signal. Axes: T samples at the world's rate.
"""

from __future__ import annotations

import numpy as np

from audio_dcls.data.demo.signals import (
    WORLD_RATE_HZ,
    Signal,
    add_at,
    band,
    decay,
    faded,
    log_uniform,
    num_samples_of,
    shaped_noise,
    struck_modes,
    tone,
)


def tick(rng: np.random.Generator, num_samples: int) -> Signal:
    """A metronome or watch: the same dry click at an even pace."""
    click = _click(rng, log_uniform(rng, 2000, 3300))
    return _at_even_pace([click], rng.uniform(0.16, 0.4), num_samples)


def tick_tock(rng: np.random.Generator, num_samples: int) -> Signal:
    """A clock's escapement: a high click and a lower, duller one in turn."""
    high = _click(rng, log_uniform(rng, 1200, 2000))
    low = _click(rng, log_uniform(rng, 500, 900), ring=2.0)
    return _at_even_pace([high, low], rng.uniform(0.25, 0.5), num_samples)


def _click(rng: np.random.Generator, frequency_hz: float, ring: float = 1.0) -> Signal:
    """A small hard part that is hit once: a few modes that decay within hundredths of a second."""
    modes_hz = frequency_hz * np.array([1.0, rng.uniform(1.4, 1.8), rng.uniform(2.2, 2.9), rng.uniform(0.25, 0.4)])
    t60s_s = ring * np.array([rng.uniform(0.03, 0.06), 0.02, 0.015, 0.03])
    return struck_modes(modes_hz, t60s_s, [1.0, 0.6, 0.5, 0.25], rng.uniform(size=4))


def _at_even_pace(sounds: list[Signal], period_s: float, num_samples: int) -> Signal:
    track = np.zeros(num_samples, dtype=np.float32)
    for number, at_s in enumerate(np.arange(0.0, num_samples / WORLD_RATE_HZ, period_s)):
        add_at(track, sounds[number % len(sounds)], at_s)
    return track


def knock(rng: np.random.Generator, num_samples: int) -> Signal:
    """Knuckles on a door: groups of two to five thuds of a wooden panel, with pauses."""
    modes_hz = log_uniform(rng, 150, 260) * np.array([1.0, rng.uniform(1.5, 1.9), rng.uniform(2.4, 3.2), 4.6])
    t60s_s = rng.uniform(0.7, 1.3, 4) * np.array([0.2, 0.18, 0.14, 0.1])
    period_s = rng.uniform(0.14, 0.28)
    track = np.zeros(num_samples, dtype=np.float32)
    at_s = 0.0
    while at_s < num_samples / WORLD_RATE_HZ:
        for _ in range(rng.integers(2, 6)):
            thud = struck_modes(modes_hz, t60s_s, [0.8, 1.0, 0.8, 0.6], rng.uniform(0, 0.2, 4))
            burst = shaped_noise(rng, num_samples_of(0.006), band(300, 2500)) * decay(num_samples_of(0.006), 0.006)
            gain = rng.uniform(0.6, 1.0)
            add_at(track, thud, at_s, gain)
            add_at(track, burst, at_s, 0.6 * gain)
            at_s += period_s * rng.uniform(0.9, 1.1)
        at_s += rng.uniform(0.2, 0.6)
    return track


def clapping(rng: np.random.Generator, num_samples: int) -> Signal:
    """One to three people clapping: bursts of noise, filtered by the hollow of the hands."""
    track = np.zeros(num_samples, dtype=np.float32)
    for _ in range(rng.integers(1, 4)):
        hollow_hz = log_uniform(rng, 700, 1800)
        period_s = rng.uniform(0.2, 0.4)
        at_s = rng.uniform(0, 0.1)
        while at_s < num_samples / WORLD_RATE_HZ:
            count = num_samples_of(0.06)
            noise = shaped_noise(rng, count, band(hollow_hz * 0.7, hollow_hz * 2.2))
            add_at(track, noise * decay(count, rng.uniform(0.03, 0.06)), at_s, rng.uniform(0.6, 1.0))
            at_s += period_s * rng.uniform(0.88, 1.12)
    return track


def typing(rng: np.random.Generator, num_samples: int) -> Signal:
    """Keys of a keyboard: irregular pairs of light clicks, down and up, with short rests between words."""
    pace_s = rng.uniform(0.08, 0.14)
    colour_hz = log_uniform(rng, 1500, 2600)
    track = np.zeros(num_samples, dtype=np.float32)
    at_s = 0.0
    while at_s < num_samples / WORLD_RATE_HZ:
        for _ in range(rng.integers(3, 9)):
            gain = rng.uniform(0.5, 1.0)
            down = _key_click(rng, colour_hz * rng.uniform(0.85, 1.2))
            up = _key_click(rng, colour_hz * rng.uniform(1.1, 1.4))
            add_at(track, down, at_s, gain)
            add_at(track, up, at_s + rng.uniform(0.04, 0.07), 0.4 * gain)
            at_s += pace_s * rng.uniform(0.6, 1.7)
        at_s += rng.uniform(0.1, 0.3)
    return track


def _key_click(rng: np.random.Generator, colour_hz: float) -> Signal:
    count = num_samples_of(0.03)
    plastic = shaped_noise(rng, count, band(colour_hz * 0.7, colour_hz * 2.5)) * decay(count, rng.uniform(0.018, 0.03))
    return plastic + 0.5 * tone(rng.uniform(250, 420), count) * decay(count, 0.025)


def drip(rng: np.random.Generator, num_samples: int) -> Signal:
    """Drops into water: bubbles that ring and rise in pitch as they near the surface (van den Doel, 2005)."""
    base_hz = log_uniform(rng, 700, 1300)
    pace_s = rng.uniform(0.18, 0.45)
    track = np.zeros(num_samples, dtype=np.float32)
    at_s = 0.0
    while at_s < num_samples / WORLD_RATE_HZ:
        count = num_samples_of(rng.uniform(0.1, 0.18))
        rise = np.linspace(0, 1, count)
        glide_hz = base_hz * rng.uniform(0.8, 1.25) * (1 + rng.uniform(0.6, 1.2) * rise)
        add_at(track, faded(tone(glide_hz, count) * decay(count, 0.25), 0.002, 0.01), at_s, rng.uniform(0.6, 1.0))
        at_s += pace_s * (rng.uniform(0.25, 0.5) if rng.uniform() < 0.3 else rng.uniform(0.8, 1.3))
    return track


def heartbeat(rng: np.random.Generator, num_samples: int) -> Signal:
    """Lub-dub: two soft low thuds per beat, the second shorter and higher, 55 to 120 beats per minute."""
    period_s = 60 / log_uniform(rng, 55, 120)
    split_s = min(0.32, 0.38 * period_s) * rng.uniform(0.85, 1.1)
    low_hz = rng.uniform(60, 95)
    track = np.zeros(num_samples, dtype=np.float32)
    at_s = 0.0
    while at_s < num_samples / WORLD_RATE_HZ:
        for frequency_hz, length_s, after_s, gain in ((low_hz, 0.16, 0.0, 1.0), (low_hz * 1.4, 0.11, split_s, 0.75)):
            count = num_samples_of(length_s)
            thud = tone(np.linspace(1.25, 0.8, count) * frequency_hz, count, 0.1)
            thud += 0.25 * shaped_noise(rng, count, band(70, 220))
            add_at(track, faded(thud, 0.02, length_s * 0.8), at_s + after_s, gain * rng.uniform(0.85, 1.1))
        at_s += period_s * rng.uniform(0.96, 1.04)
    return track


def bell(rng: np.random.Generator, num_samples: int) -> Signal:
    """A cast bell: hum, prime, tierce, quint, nominal and upper partials, the high ones decay first (Rossing, 2000)."""
    nominal_hz = log_uniform(rng, 600, 1200)
    ratios = np.array([0.25, 0.5, 0.6, 0.75, 1.0, 1.5, 2.0, 2.6]) * rng.uniform(0.99, 1.01, 8)
    amplitudes = np.array([0.5, 0.8, 1.0, 0.5, 1.0, 0.6, 0.4, 0.25]) * rng.uniform(0.5, 1.2, 8)
    t60s_s = rng.uniform(1.2, 3.5) * np.array([1.4, 1.0, 0.9, 0.6, 0.6, 0.4, 0.3, 0.2])
    stroke = struck_modes(nominal_hz * ratios, t60s_s, amplitudes, rng.uniform(size=8))
    period_s = rng.uniform(0.5, 1.6)
    track = np.zeros(num_samples, dtype=np.float32)
    for at_s in np.arange(0.0, num_samples / WORLD_RATE_HZ, period_s):
        add_at(track, stroke, at_s, rng.uniform(0.7, 1.0))
    return faded(track, 0.001, 0.1)
