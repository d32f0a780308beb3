"""Each synthesiser against the physics of what it is named after."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from audio_dcls.data.demo import SOUNDS, demo_labels
from audio_dcls.data.demo import sounds_impacts as impacts
from audio_dcls.data.demo import sounds_sources as sources
from audio_dcls.data.demo import sounds_tones as tones
from audio_dcls.data.demo.scene import loudest_moment
from audio_dcls.data.demo.signals import WORLD_RATE_HZ, gate, periodic, struck_modes, tone
from audio_dcls.labels import LabelSet

SECONDS = 4
NUM_SAMPLES = SECONDS * WORLD_RATE_HZ
SEEDS = range(4)


def spectrum(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in hertz and power, through a Hann window."""
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    return np.fft.rfftfreq(len(sound), 1 / WORLD_RATE_HZ), power


def peaks_hz(sound: np.ndarray, count: int) -> list[float]:
    frequency, power = spectrum(sound)
    found, _ = scipy.signal.find_peaks(power, distance=int(20 * len(sound) / WORLD_RATE_HZ))
    strongest = found[np.argsort(power[found])[-count:]]
    return sorted(float(f) for f in frequency[strongest])


def power_between(sound: np.ndarray, low_hz: float, high_hz: float) -> float:
    frequency, power = spectrum(sound)
    return float(power[(frequency >= low_hz) & (frequency < high_hz)].sum() / power.sum())


def level(sound: np.ndarray, step_s: float = 0.005) -> np.ndarray:
    """Root mean square of each step."""
    step = round(step_s * WORLD_RATE_HZ)
    return np.sqrt(np.square(sound[: len(sound) // step * step]).reshape(-1, step).mean(axis=1))


def test_labels_are_audioset_classes_in_its_order() -> None:
    audioset = LabelSet.audioset()
    labels = demo_labels()
    places = [audioset.index(mid) for mid in labels.ids]
    assert places == sorted(places)
    assert [audioset.names[place] for place in places] == [sound.name for sound in SOUNDS]
    assert len(labels) >= 20


@pytest.mark.parametrize("sound", SOUNDS, ids=lambda sound: sound.name)
def test_every_sound_is_finite_audible_at_once_and_within_telephone_reach(sound) -> None:
    for num_samples in (WORLD_RATE_HZ, 100_001):
        made = sound.synthesise(np.random.default_rng(7), num_samples)
        assert made.shape == (num_samples,)
        assert made.dtype == np.float32
        assert np.isfinite(made).all()
        first_second = made[:WORLD_RATE_HZ]
        assert loudest_moment(first_second) > 0.25 * loudest_moment(made)
        # An 8 kHz file holds what is below 4 kHz, less the filter's edge. White noise has 3.6 / 16 of its power there.
        assert power_between(first_second, 40, 3600) > 0.2


@pytest.mark.parametrize("sound", SOUNDS, ids=lambda sound: sound.name)
def test_the_generator_alone_decides(sound) -> None:
    first, again, other = (sound.synthesise(np.random.default_rng(seed), 20_000) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("seed", SEEDS)
def test_sine_wave_is_one_line(seed: int) -> None:
    sound = tones.sine_wave(np.random.default_rng(seed), NUM_SAMPLES)
    (peak_hz,) = peaks_hz(sound, 1)
    assert 400 <= peak_hz <= 1100
    assert power_between(sound, peak_hz - 5, peak_hz + 5) > 0.999


@pytest.mark.parametrize("seed", SEEDS)
def test_dial_tone_and_busy_signal_are_the_plan_s_pairs(seed: int) -> None:
    dial = tones.dial_tone(np.random.default_rng(seed), NUM_SAMPLES)
    assert peaks_hz(dial, 2) == pytest.approx([350, 440], rel=0.006)
    busy = tones.busy_signal(np.random.default_rng(seed), NUM_SAMPLES)
    assert peaks_hz(busy[:6000], 2) == pytest.approx([480, 620], rel=0.03)
    sounding = np.mean(level(busy) > 0.1)
    assert sounding == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("row", range(4))
@pytest.mark.parametrize("column", range(3))
def test_dtmf_keys_are_the_standard_s_pairs(row: int, column: int) -> None:
    key = tones.dtmf_key(row, column, 0.5)
    rows, columns = (697, 770, 852, 941), (1209, 1336, 1477)
    assert peaks_hz(key, 2) == pytest.approx([rows[row], columns[column]], abs=2)


@pytest.mark.parametrize("seed", SEEDS)
def test_mains_hum_is_made_of_harmonics_of_50_or_60_hz(seed: int) -> None:
    sound = tones.mains_hum(np.random.default_rng(seed), NUM_SAMPLES)
    lines = peaks_hz(sound, 4)
    assert any(all(abs(line / mains - round(line / mains)) < 0.02 for line in lines) for mains in (50, 60))


@pytest.mark.parametrize("seed", SEEDS)
def test_chirp_covers_more_than_an_octave_and_a_half_one_line_at_a_time(seed: int) -> None:
    sound = tones.chirp_tone(np.random.default_rng(seed), NUM_SAMPLES)
    frequency, _, power = scipy.signal.stft(sound, WORLD_RATE_HZ, nperseg=1024)
    ridge = frequency[np.abs(power).argmax(axis=0)][np.abs(power).max(axis=0) > 0.1]
    assert ridge.max() / max(ridge.min(), 31) > 2**1.3


@pytest.mark.parametrize("seed", SEEDS)
def test_beeps_are_short_and_reversing_beeps_long_and_even(seed: int) -> None:
    def blasts_s(sound: np.ndarray) -> np.ndarray:
        on = np.concatenate([[False], level(sound) > 0.1, [False]])
        edges = np.flatnonzero(np.diff(on.astype(int)))
        return (edges[1::2] - edges[::2])[:-1] * 0.005

    beeps = blasts_s(tones.beep(np.random.default_rng(seed), NUM_SAMPLES))
    assert beeps.max() < 0.2
    reversing = blasts_s(tones.reversing_beeps(np.random.default_rng(seed), NUM_SAMPLES))
    assert reversing.min() > 0.3
    assert np.ptp(reversing) <= 0.011


@pytest.mark.parametrize(("synthesise", "db_per_octave"), [(sources.white_noise, 0.0), (sources.pink_noise, -3.01)])
def test_noise_has_the_slope_of_its_colour(synthesise, db_per_octave: float) -> None:
    sound = synthesise(np.random.default_rng(0), NUM_SAMPLES)
    frequency, density = scipy.signal.welch(sound, WORLD_RATE_HZ, nperseg=4096)
    audible = (frequency > 100) & (frequency < 12_000)
    slope = np.polyfit(np.log2(frequency[audible]), 10 * np.log10(density[audible]), 1)[0]
    assert slope == pytest.approx(db_per_octave, abs=0.15)


@pytest.mark.parametrize("seed", SEEDS)
def test_heart_is_low_wind_lower_than_rain(seed: int) -> None:
    heart = impacts.heartbeat(np.random.default_rng(seed), NUM_SAMPLES)
    wind = sources.wind(np.random.default_rng(seed), NUM_SAMPLES)
    rain = sources.rain(np.random.default_rng(seed), NUM_SAMPLES)
    assert power_between(heart, 40, 250) > 0.9
    assert power_between(wind, 0, 2000) > 0.9
    assert power_between(rain, 1000, 16_000) > 0.8


@pytest.mark.parametrize("seed", SEEDS)
def test_ticks_are_even_and_tock_is_duller_than_tick(seed: int) -> None:
    def strokes(sound: np.ndarray) -> np.ndarray:
        at, _ = scipy.signal.find_peaks(
            np.abs(sound), height=0.3 * np.abs(sound).max(), distance=int(0.1 * WORLD_RATE_HZ)
        )
        return at

    ticks = strokes(impacts.tick(np.random.default_rng(seed), NUM_SAMPLES))
    assert len(ticks) >= 7
    assert np.diff(ticks) == pytest.approx(np.diff(ticks).mean(), abs=0.01 * WORLD_RATE_HZ)
    clock = impacts.tick_tock(np.random.default_rng(seed), NUM_SAMPLES)
    at = strokes(clock)
    centroids = []
    for first in at[:-1]:
        frequency, power = spectrum(clock[max(0, first - 100) : first + 1000])
        centroids.append(float((frequency * power).sum() / power.sum()))
    assert np.mean(centroids[::2]) > 1.1 * np.mean(centroids[1::2])


@pytest.mark.parametrize("seed", SEEDS)
def test_speech_has_syllables_and_pitch(seed: int) -> None:
    sound = sources.speech(np.random.default_rng(seed), NUM_SAMPLES)
    loudness = level(sound, 0.01)
    rate_hz = np.fft.rfftfreq(len(loudness), 0.01)
    modulation = np.abs(np.fft.rfft(loudness - loudness.mean())) ** 2
    assert modulation[(rate_hz > 1) & (rate_hz < 9)].sum() > 0.5 * modulation.sum()
    assert power_between(sound, 80, 3600) > 0.8


def test_building_blocks_meet_closed_forms() -> None:
    # A cosine at a quarter of the rate, a square wave's first two harmonics, a mode's decay, a gate's duty.
    assert tone(WORLD_RATE_HZ / 4, 4, 0.25) == pytest.approx([1, 0, -1, 0], abs=1e-6)
    t = np.arange(2000) / WORLD_RATE_HZ
    wanted = np.sin(2 * np.pi * 200 * t) + np.sin(2 * np.pi * 600 * t) / 3
    assert periodic(200.0, 2000, [1, 0, 1 / 3]) == pytest.approx(wanted, abs=2e-3)
    mode = struck_modes([1000.0], [0.5], [1.0], [0.25])
    assert abs(mode[WORLD_RATE_HZ // 4]) == pytest.approx(10**-1.5, rel=0.01)
    assert gate(WORLD_RATE_HZ, 0.25, 0.25, edge_s=1e-4).mean() == pytest.approx(0.5, abs=0.01)
