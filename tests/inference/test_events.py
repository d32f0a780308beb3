"""Events against a slow loop, SciPy's labelling, and a made file whose onsets are known."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from audio_dcls.data import fit_length, read_clip
from audio_dcls.errors import ArgumentError
from audio_dcls.inference.events import Event, find_events, window_edges_s
from audio_dcls.inference.windows import window_starts
from audio_dcls.labels import LabelSet

LABELS = LabelSet(ids=("low", "high"), names=("Low tone", "High tone"))
SCORES = hnp.arrays(np.float64, st.tuples(st.integers(0, 40), st.just(2)), elements=st.floats(0, 1))
RATE_HZ = 16_000
MILLISECOND_S = 1e-3
"""Frames of the made file's detector are of 10 ms, half of one being the most it can be wrong by, times two edges."""


def spans(events: tuple[Event, ...], name: str) -> list[tuple[float, float]]:
    return [(event.onset_s, event.offset_s) for event in events if event.id == name]


def slow_trigger(scores: np.ndarray, on: float, off: float) -> list[tuple[float, float]]:
    """One window after another; each is one second long."""
    found, onset = [], None
    for second, score in enumerate(scores):
        if onset is None and score >= on:
            onset = second
        elif onset is not None and score < off:
            found.append((float(onset), float(second)))
            onset = None
    return found if onset is None else [*found, (float(onset), float(len(scores)))]


@given(scores=SCORES, thresholds=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)))
def test_hysteresis_is_that_of_a_slow_loop(scores: np.ndarray, thresholds: tuple[float, float]) -> None:
    off, on = sorted(thresholds)
    start_s = np.arange(len(scores), dtype=float)
    events = find_events(scores, start_s, start_s + 1, labels=LABELS, on=on, off=off)
    for c, name in enumerate(LABELS.ids):
        assert spans(events, name) == slow_trigger(scores[:, c], on, off)
        for event in (event for event in events if event.id == name):
            assert event.score == scores[int(event.onset_s) : int(event.offset_s), c].max() >= on


@given(scores=SCORES.filter(len), on=st.floats(0.01, 1))
def test_one_threshold_gives_scipys_connected_stretches(scores: np.ndarray, on: float) -> None:
    start_s = np.arange(len(scores), dtype=float)
    events = find_events(scores, start_s, start_s + 1, labels=LABELS, on=on, off=on)
    for c, name in enumerate(LABELS.ids):
        numbered, _ = scipy.ndimage.label(scores[:, c] >= on)
        wanted = [(float(part[0].start), float(part[0].stop)) for part in scipy.ndimage.find_objects(numbered)]
        assert spans(events, name) == wanted


@given(scores=SCORES, gap_s=st.integers(0, 6), duration_s=st.integers(0, 6))
def test_gaps_are_closed_before_short_events_are_dropped(scores: np.ndarray, gap_s: int, duration_s: int) -> None:
    start_s = np.arange(len(scores), dtype=float)
    plain = find_events(scores, start_s, start_s + 1, labels=LABELS, on=0.5)
    events = find_events(
        scores, start_s, start_s + 1, labels=LABELS, on=0.5, min_gap_s=gap_s, min_duration_s=duration_s
    )
    for name in LABELS.ids:
        found = spans(events, name)
        assert all(offset - onset >= duration_s for onset, offset in found)
        assert all(later - earlier >= gap_s for (_, earlier), (later, _) in itertools.pairwise(found))
        assert {onset for onset, _ in found} <= {onset for onset, _ in spans(plain, name)}


def test_gaps_and_lengths_of_exactly_the_limit_stay() -> None:
    hop_s = 0.1
    scores = np.zeros((12, 2))
    scores[[1, 2, 3, 7, 8, 9], 0] = 1.0
    start_s = np.arange(12) * hop_s
    kept = find_events(
        scores, start_s, start_s + hop_s, labels=LABELS, on=0.5, min_gap_s=3 * hop_s, min_duration_s=3 * hop_s
    )
    assert len(kept) == 2


def test_each_class_has_its_own_threshold_and_infinity_switches_one_off() -> None:
    scores = np.array([[0.3, 0.3], [0.9, 0.9]])
    start_s = np.arange(2.0)
    events = find_events(scores, start_s, start_s + 1, labels=LABELS, on=np.array([0.2, 0.5]))
    assert [(e.id, e.onset_s, e.offset_s) for e in events] == [("low", 0, 2), ("high", 1, 2)]
    events = find_events(scores, start_s, start_s + 1, labels=LABELS, on=np.array([np.inf, 0.5]))
    assert [e.id for e in events] == ["high"]


@given(num=st.integers(1, 400), window=st.integers(1, 60), hop=st.integers(1, 60))
def test_every_moment_belongs_to_the_window_with_the_nearest_centre(num: int, window: int, hop: int) -> None:
    start_s = np.array(window_starts(num, window, min(hop, window)), dtype=float)
    edges_s = window_edges_s(start_s, start_s + window)
    assert edges_s[0] == start_s[0] and edges_s[-1] == start_s[-1] + window
    times_s = np.linspace(edges_s[0], edges_s[-1], 333) + 1e-4
    nearest = np.abs(times_s[:, None] - (start_s + window / 2)).argmin(axis=1)
    inside = (times_s < edges_s[-1]) & (np.abs(times_s[:, None] - edges_s).min(axis=1) > 1e-3)
    assert (np.searchsorted(edges_s, times_s)[inside] - 1 == nearest[inside]).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"on": 0.0}, "`on`"),
        ({"on": np.array([0.5, 0.5, 0.5])}, "`on`"),
        ({"off": 0.6}, "`off` (=0.6) must be at most `on` (=0.5)"),
        ({"min_gap_s": -1.0}, "`min_gap_s` (=-1.0)"),
        ({"min_duration_s": float("nan")}, "`min_duration_s` (=nan)"),
        ({"scores": np.full((3, 2), np.nan)}, "`scores`"),
        ({"scores": np.zeros((3, 3))}, "2 classes"),
        ({"scores": np.zeros((4, 2))}, "4 windows"),
        ({"start_s": np.array([0.0, 2.0, 1.0]), "end_s": np.array([1.0, 3.0, 2.0])}, "order of time"),
        ({"end_s": np.array([1.0, 1.0, 3.0])}, "ending after it begins"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object], named: str) -> None:
    start_s = np.arange(3.0)
    given_values: dict[str, object] = {"scores": np.zeros((3, 2)), "start_s": start_s, "end_s": start_s + 1, "on": 0.5}
    with pytest.raises(ArgumentError) as error:
        find_events(**{**given_values, "labels": LABELS, **change})  # type: ignore[arg-type]
    assert named in str(error.value)


MADE = {"low": [(1.37, 4.02), (9.5, 11.91)], "high": [(2.81, 7.33)]}
"""Onset and offset in seconds."""
FREQUENCY_HZ = {"low": 400.0, "high": 3000.0}
MADE_S = 14.0


@pytest.fixture(scope="module")
def made_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise with tones at known times."""
    rng = np.random.default_rng(0)
    time_s = np.arange(round(MADE_S * RATE_HZ)) / RATE_HZ
    sound = 0.005 * rng.standard_normal(len(time_s))
    for name, events in MADE.items():
        for onset_s, offset_s in events:
            sounding = (time_s >= onset_s) & (time_s < offset_s)
            sound += 0.2 * sounding * np.sin(2 * np.pi * FREQUENCY_HZ[name] * time_s)
    path = tmp_path_factory.mktemp("made") / "made.flac"
    soundfile.write(path, sound, RATE_HZ)
    return path


def share_heard(window: np.ndarray, frequency_hz: float) -> float:
    """Share of the 10-ms frames of a window in which a tone is heard."""
    frames = window[: len(window) // 160 * 160].reshape(-1, 160)
    wave = np.exp(-2j * np.pi * frequency_hz * np.arange(160) / RATE_HZ)
    return float(np.mean(np.abs(frames @ wave) > 160 * 0.2 / 4))


@pytest.mark.parametrize("hop_s", [0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("hops_per_window", [1, 2])
@pytest.mark.parametrize("on", [0.4, 0.5, 0.7])
def test_events_of_a_made_file_are_within_one_hop_of_the_truth(
    made_file: Path, hop_s: float, hops_per_window: int, on: float
) -> None:
    window_s = hop_s * hops_per_window
    sound = read_clip(made_file, sample_rate_hz=RATE_HZ)
    starts = window_starts(len(sound), round(window_s * RATE_HZ), round(hop_s * RATE_HZ))
    windows = [fit_length(sound[start:], round(window_s * RATE_HZ)) for start in starts]
    scores = np.array([[share_heard(window, FREQUENCY_HZ[name]) for name in LABELS.ids] for window in windows])
    start_s = np.array(starts) / RATE_HZ
    events = find_events(scores, start_s, start_s + window_s, labels=LABELS, on=on)
    for name, wanted in MADE.items():
        found = spans(events, name)
        assert len(found) == len(wanted)
        assert np.abs(np.array(found) - np.array(wanted)).max() <= hop_s + MILLISECOND_S
