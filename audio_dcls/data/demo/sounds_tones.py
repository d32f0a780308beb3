"""Electronic tones: sine wave, chirp, dial tone, busy signal, DTMF, beeps, reversing beeps, sirens, buzzer, mains hum.

Every synthesiser has the form (rng, num_samples) -> signal. Axes: T samples at the world's rate.
"""

from __future__ import annotations

import numpy as np

from audio_dcls.data.demo.signals import (
    WORLD_RATE_HZ,
    Signal,
    add_at,
    faded,
    filtered,
    gate,
    log_uniform,
    num_samples_of,
    periodic,
    resonances,
    slow_noise,
    time_s,
    tone,
)

DTMF_ROWS_HZ = (697.0, 770.0, 852.0, 941.0)
DTMF_COLUMNS_HZ = (1209.0, 1336.0, 1477.0)
"""The keypad's frequencies, ITU-T Q.23 (the fourth column is not on public telephones)."""

DIAL_TONE_HZ = (350.0, 440.0)
BUSY_HZ = (480.0, 620.0)
"""North American call progress tones (precise tone plan, ANSI T1.401)."""


def sine_wave(rng: np.random.Generator, num_samples: int) -> Signal:
    """One steady sine of 400 to 1100 Hz, like a test tone."""
    frequency_hz = log_uniform(rng, 400, 1100)
    return faded(tone(frequency_hz, num_samples, rng.uniform()), rng.uniform(0.01, 0.3), rng.uniform(0.01, 0.3))


def chirp_tone(rng: np.random.Generator, num_samples: int) -> Signal:
    """A sine that repeatedly glides over 2 to 4 octaves, up or down."""
    octaves = rng.uniform(2.0, 4.0)
    low_hz = log_uniform(rng, 150, 3300 / 2**octaves)
    sweep_s = log_uniform(rng, 0.5, 2.0)
    gap_s = rng.uniform(0.02, 0.2)
    position = np.clip(np.mod(time_s(num_samples), sweep_s + gap_s) / sweep_s, 0, 1)
    if rng.uniform() < 0.5:
        position = 1 - position
    if rng.uniform() < 0.5:
        frequency_hz = low_hz * 2 ** (octaves * position)
    else:
        frequency_hz = low_hz * (1 + (2**octaves - 1) * position)
    return tone(frequency_hz, num_samples) * gate(num_samples, sweep_s, gap_s, edge_s=0.01)


def dial_tone(rng: np.random.Generator, num_samples: int) -> Signal:
    """350 and 440 Hz together, steady, within the half percent that the plan allows."""
    low, high = (f * rng.uniform(0.995, 1.005) for f in DIAL_TONE_HZ)
    balance = rng.uniform(0.7, 1.4)
    both = tone(low, num_samples, rng.uniform()) + np.float32(balance) * tone(high, num_samples, rng.uniform())
    return faded(both, 0.01, 0.01)


def busy_signal(rng: np.random.Generator, num_samples: int) -> Signal:
    """480 and 620 Hz together, on and off every half second, or every quarter (reorder)."""
    low, high = (f * rng.uniform(0.99, 1.01) for f in BUSY_HZ)
    half_s = rng.choice([0.25, 0.5]) * rng.uniform(0.92, 1.08)
    both = tone(low, num_samples, rng.uniform()) + tone(high, num_samples, rng.uniform())
    return both * gate(num_samples, half_s, half_s)


def dtmf(rng: np.random.Generator, num_samples: int) -> Signal:
    """A number dialled on a keypad: one low and one high tone per key, with a pause between numbers."""
    on_s, off_s = rng.uniform(0.07, 0.22), rng.uniform(0.05, 0.18)
    track = np.zeros(num_samples, dtype=np.float32)
    at_s = 0.0
    while at_s < num_samples / WORLD_RATE_HZ:
        for _ in range(rng.integers(4, 11)):
            key = dtmf_key(int(rng.integers(4)), int(rng.integers(3)), on_s * rng.uniform(0.9, 1.1))
            add_at(track, key, at_s)
            at_s += on_s + off_s * rng.uniform(0.8, 1.3)
        at_s += rng.uniform(0.2, 0.6)
    return track


def dtmf_key(row: int, column: int, duration_s: float) -> Signal:
    """The two tones of one key. Args: row 0 to 3, column 0 to 2, duration in seconds."""
    count = num_samples_of(duration_s)
    return faded(tone(DTMF_ROWS_HZ[row], count) + tone(DTMF_COLUMNS_HZ[column], count), 0.003, 0.003)


def beep(rng: np.random.Generator, num_samples: int) -> Signal:
    """Short pips of an electronic device, two to five in a group; its piezo sounder rings near 2 kHz."""
    frequency_hz = log_uniform(rng, 1800, 2500)
    pip_s, gap_s, rest_s = rng.uniform(0.06, 0.16), rng.uniform(0.05, 0.12), rng.uniform(0.2, 0.5)
    pips_in_group = int(rng.integers(2, 6))
    amplitudes = _odd_harmonics(frequency_hz, rng.uniform(0.2, 0.8))
    track = np.zeros(num_samples, dtype=np.float32)
    at_s = 0.0
    while at_s < num_samples / WORLD_RATE_HZ:
        for _ in range(pips_in_group):
            pip = periodic(frequency_hz, num_samples_of(pip_s), amplitudes)
            add_at(track, faded(pip, 0.003, 0.006), at_s)
            at_s += pip_s + gap_s
        at_s += rest_s
    return track


def reversing_beeps(rng: np.random.Generator, num_samples: int) -> Signal:
    """The alarm of a truck in reverse: 1000 to 1400 Hz, hard, on and off about once per second."""
    frequency_hz = rng.uniform(1000, 1400)
    on_s = rng.uniform(0.35, 0.6)
    hard = periodic(frequency_hz, num_samples, _odd_harmonics(frequency_hz, rng.uniform(0.7, 1.0)), start=rng.uniform())
    return hard * gate(num_samples, on_s, on_s * rng.uniform(0.8, 1.2), edge_s=0.012)


def siren(rng: np.random.Generator, num_samples: int) -> Signal:
    """A wail (slow), a yelp (fast) or two alternating notes, with a horn's odd harmonics."""
    kind = rng.choice(["wail", "yelp", "high-low"])
    t = time_s(num_samples)
    start = rng.uniform()
    if kind == "high-low":
        low_hz = rng.uniform(380, 650)
        half_s = rng.uniform(0.35, 0.7)
        frequency_hz = np.where(np.mod(t / half_s + start, 2) < 1, low_hz * rng.uniform(1.25, 1.4), low_hz)
    else:
        low_hz = rng.uniform(450, 750)
        octaves = rng.uniform(0.8, 1.4)
        period_s = rng.uniform(2.0, 4.5) if kind == "wail" else rng.uniform(0.22, 0.45)
        rise = rng.uniform(0.35, 0.75)
        position = np.mod(t / period_s + start, 1)
        ramp = np.where(position < rise, position / rise, (1 - position) / (1 - rise))
        frequency_hz = low_hz * 2 ** (octaves * ramp)
    horn = periodic(frequency_hz, num_samples, [1.0, rng.uniform(0.05, 0.3), rng.uniform(0.2, 0.6), 0.1, 0.15])
    return faded(horn, 0.05, 0.2)


def buzzer(rng: np.random.Generator, num_samples: int) -> Signal:
    """A rattling electromechanical buzzer: a rich low tone with a metallic resonance, in blasts."""
    frequency_hz = rng.uniform(90, 230)
    harmonics = np.arange(1, int(9000 / frequency_hz))
    amplitudes = harmonics ** -rng.uniform(0.4, 0.8)
    if rng.uniform() < 0.5:
        amplitudes[1::2] *= 0.2
    wobble = 1 + 0.004 * slow_noise(rng, num_samples, 8)
    raw = periodic(frequency_hz * wobble, num_samples, amplitudes, rng.uniform(size=len(harmonics)) * 0.1)
    body = resonances([rng.uniform(500, 1200), rng.uniform(1500, 3000)], [500, 900], [1.0, 0.8])
    sound = filtered(raw, lambda f: 0.15 + body(f))
    return sound * gate(num_samples, rng.uniform(0.4, 1.4), rng.uniform(0.2, 0.7), edge_s=0.008)


def mains_hum(rng: np.random.Generator, num_samples: int) -> Signal:
    """50 or 60 Hz and its harmonics, steady; the even ones are strongest, as a core is pulled twice per period."""
    frequency_hz = float(rng.choice([50.0, 60.0]))
    num_harmonics = int(rng.integers(8, 30))
    harmonics = np.arange(1, num_harmonics + 1)
    amplitudes = harmonics ** -rng.uniform(0.7, 1.3) * rng.uniform(0.3, 1.0, num_harmonics)
    amplitudes[1::2] *= rng.uniform(1.5, 3.0)
    sound = periodic(frequency_hz, num_samples, amplitudes, rng.uniform(size=num_harmonics), rng.uniform())
    return faded(sound, rng.uniform(0.02, 0.3), rng.uniform(0.02, 0.3))


def _odd_harmonics(frequency_hz: float, squareness: float) -> np.ndarray:
    """Amplitudes from a sine (0) to a square wave (1), without harmonics above 12 kHz."""
    harmonics = np.arange(1, max(2, int(12_000 / frequency_hz)))
    return np.where(harmonics % 2 == 1, squareness / harmonics, 0.0) + np.where(harmonics == 1, 1 - squareness, 0.0)
