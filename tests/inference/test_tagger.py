"""The tagger against the model itself, on every kind of input and option."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import soxr
import torch

from audio_dcls.data.sound.sound_stream import ArraySound
from audio_dcls.errors import ArgumentError, AudioDclsError, AudioFileError, CheckpointError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.inference import TagFailure, Tagger, Timeline
from audio_dcls.inference.results import TagResult, WindowScores
from audio_dcls.inference.windows import WindowSplitter, fill_window, pool_scores, window_starts
from audio_dcls.labels import LabelSet
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint, save_checkpoint, store_thresholds

RATE_HZ = 32_000
CLIP_S = 1.5
LABELS = LabelSet(tuple("abcdef"), tuple("ABCDEF"))
TOLERANCE = 1e-5
"""Probabilities in float32, of other batches and of folded norms."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model_config = ModelConfig(
        name="convnext_atto", overrides={"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}, dcls=DclsConfig()
    )
    frontend_config = FrontendConfig(clip_s=CLIP_S)
    model = build_tagger(model_config, frontend_config, len(LABELS))
    with torch.no_grad():  # an untrained head says the same of everything
        model.backbone.get_classifier().weight.mul_(40)  # type: ignore[operator]
    path = tmp_path_factory.mktemp("tagger") / "model.safetensors"
    save_checkpoint(path, model, model_config=model_config, frontend_config=frontend_config, labels=LABELS, info={})
    return path


@pytest.fixture(scope="module")
def tagger(checkpoint: Path) -> Tagger:
    return Tagger.load(checkpoint)


def noise(seconds: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Noise whose colour and loudness change along it."""
    rng = np.random.default_rng(1)
    sound = rng.standard_normal(round(seconds * rate_hz)) * np.linspace(0.001, 0.2, round(seconds * rate_hz))
    return np.cumsum(sound).astype(np.float32) * 0.01 + sound.astype(np.float32)


def model_scores(checkpoint: Path, sound: np.ndarray, starts: list[int], window: int, fill: str) -> np.ndarray:
    """Probabilities of windows by the unprepared model, one at a time."""
    model = load_checkpoint(checkpoint).model
    size = round(CLIP_S * RATE_HZ)
    rows = []
    for start in starts:
        part = sound[start : start + window]
        if fill == "repeat":
            part = np.tile(part, -(-size // len(part)))[:size]
        part = np.pad(part, (0, size - len(part)))
        with torch.inference_mode():
            rows.append(model(torch.from_numpy(part)[None])[0].sigmoid().numpy())
    return np.stack(rows)


@pytest.mark.parametrize("seconds", [0.4, 1.5, 1.6, 4.0, 13.37])
@pytest.mark.parametrize("short", ["pad", "repeat"])
def test_scores_are_the_models_over_all_windows(checkpoint: Path, tagger: Tagger, seconds: float, short: str) -> None:
    sound = noise(seconds)
    size = round(CLIP_S * RATE_HZ)
    expected = model_scores(checkpoint, sound, window_starts(len(sound), size, size // 2), size, short)
    result = tagger.tag(sound, sample_rate_hz=RATE_HZ, hop_s=CLIP_S / 2, short=short, top_k=None)
    np.testing.assert_allclose(result.windows.scores, expected, atol=TOLERANCE)
    assert result.num_windows == len(expected) and result.duration_s == len(sound) / RATE_HZ
    mean = expected.mean(axis=0)
    assert [tag.id for tag in result.tags] == [LABELS.ids[c] for c in np.argsort(-mean)]
    np.testing.assert_allclose([tag.score for tag in result.tags], np.sort(mean)[::-1], atol=TOLERANCE)
    assert result.windows.end_s[-1] == result.duration_s


def test_files_arrays_and_tensors_are_one_sound(tmp_path: Path, tagger: Tagger) -> None:
    sound = np.stack([noise(3.3, 44_100), 0.5 * noise(3.3, 44_100)])
    path = tmp_path / "a.wav"
    soundfile.write(path, sound.T, 44_100, subtype="FLOAT")
    mono = soxr.resample(librosa.load(path, sr=None, mono=True)[0], 44_100, RATE_HZ, quality="HQ")
    results = [
        tagger.tag(mono, sample_rate_hz=RATE_HZ),
        tagger.tag(path),
        tagger.tag(str(path)),
        tagger.tag(sound, sample_rate_hz=44_100),
        tagger.tag(torch.from_numpy(sound), sample_rate_hz=44_100),
        tagger.tag(ArraySound(sound, 44_100)),
    ]
    for result in results[1:]:
        np.testing.assert_allclose(result.windows.scores, results[0].windows.scores, atol=TOLERANCE)
    assert [result.path for result in results] == ["array", str(path), str(path), "array", "array", "array"]


@pytest.mark.parametrize("pooling", ["mean", "max", "noisy_or"])
def test_clip_scores_are_pooled(tagger: Tagger, pooling: Any) -> None:
    result = tagger.tag(noise(6.0), sample_rate_hz=RATE_HZ, pooling=pooling, top_k=None)
    windows = result.windows.scores.astype(np.float64)
    by_hand = {"mean": windows.mean(0), "max": windows.max(0), "noisy_or": 1 - np.prod(1 - windows, axis=0)}[pooling]
    found = {tag.id: tag.score for tag in result.tags}
    np.testing.assert_allclose([found[mid] for mid in LABELS.ids], by_hand, rtol=1e-12)


def test_thresholds_of_all_kinds(checkpoint: Path, tagger: Tagger, tmp_path: Path) -> None:
    sound = noise(3.0)
    free = tagger.tag(sound, sample_rate_hz=RATE_HZ, top_k=None).tags
    middle = (free[2].score + free[3].score) / 2
    assert tagger.tag(sound, sample_rate_hz=RATE_HZ, top_k=None, threshold=middle).tags == free[:3]
    values = np.full(len(LABELS), 0.0)
    values[LABELS.index(free[0].id)] = np.inf
    assert tagger.tag(sound, sample_rate_hz=RATE_HZ, top_k=None, threshold=values).tags == free[1:]
    with pytest.raises(ArgumentError, match=r"'fitted'\) needs thresholds stored .*--fit-thresholds"):
        tagger.tag(sound, sample_rate_hz=RATE_HZ, threshold="fitted")
    fitted = tmp_path / "fitted.safetensors"
    fitted.write_bytes(checkpoint.read_bytes())
    store_thresholds(fitted, values, split="val", clip_id_hash="abc")
    other = Tagger.load(fitted)
    assert other.tag(sound, sample_rate_hz=RATE_HZ, top_k=None, threshold="fitted").tags == free[1:]


def test_only_chosen_classes(tagger: Tagger) -> None:
    result = tagger.tag(noise(3.0), sample_rate_hz=RATE_HZ, classes=["b", "E"], timeline=True, threshold=0.0)
    assert {tag.id for tag in result.tags} == {"b", "e"}
    assert result.events is not None and {event.id for event in result.events} <= {"b", "e"}


def test_a_timeline_has_short_windows_and_its_options(tagger: Tagger) -> None:
    result = tagger.tag(noise(6.0), sample_rate_hz=RATE_HZ, timeline=True, threshold=0.01)
    assert result.windows.end_s[0] == CLIP_S and result.windows.start_s[1] == CLIP_S / 2
    assert result.events
    few = tagger.tag(noise(6.0), sample_rate_hz=RATE_HZ, timeline=Timeline(min_duration_s=100.0), threshold=0.01)
    assert few.events == ()
    assert tagger.tag(noise(6.0), sample_rate_hz=RATE_HZ).events is None


def test_events_leave_tags_as_they_are(tagger: Tagger) -> None:
    sound = noise(6.0)
    plain = tagger.tag(sound, sample_rate_hz=RATE_HZ)
    with_events = tagger.tag(sound, sample_rate_hz=RATE_HZ, timeline=True, embeddings=True)
    assert [tag.name for tag in with_events.tags] == [tag.name for tag in plain.tags]
    np.testing.assert_allclose([t.score for t in with_events.tags], [t.score for t in plain.tags], atol=1e-5)
    assert with_events.window_embeddings is not None
    assert len(with_events.window_embeddings) == len(with_events.windows.scores) > len(plain.windows.scores)
    named = tagger.tag(sound, sample_rate_hz=RATE_HZ, timeline=True, window_s=0.5)
    assert named.tags == tagger.tag(sound, sample_rate_hz=RATE_HZ, window_s=0.5, hop_s=0.25).tags


def test_embeddings_are_what_the_classifier_sees(checkpoint: Path, tagger: Tagger) -> None:
    result = tagger.tag(noise(4.0), sample_rate_hz=RATE_HZ, embeddings=True)
    assert result.embedding is not None and result.window_embeddings is not None
    head = load_checkpoint(checkpoint).model.backbone.get_classifier()  # type: ignore[operator]
    with torch.inference_mode():
        scores = head(torch.from_numpy(result.window_embeddings)).sigmoid().numpy()
    np.testing.assert_allclose(scores, result.windows.scores, atol=TOLERANCE)
    np.testing.assert_allclose(result.embedding, result.window_embeddings.mean(axis=0), rtol=1e-5)
    assert tagger.tag(noise(4.0), sample_rate_hz=RATE_HZ).embedding is None


def test_many_sounds_are_tagged_as_each_alone(tmp_path: Path, tagger: Tagger) -> None:
    lengths = [0.3, 5.0, 1.5, 9.1, 0.7, 2.2]
    paths = [tmp_path / f"{index}.wav" for index in range(len(lengths))]
    for index, (path, seconds) in enumerate(zip(paths, lengths, strict=True)):
        soundfile.write(path, np.roll(noise(seconds), 1000 * index), RATE_HZ)
    paths[2].write_text("no sound")
    paths[4].unlink()
    for windows_per_batch in (1, 3, 8):
        outcomes = list(tagger.tag_many(paths, windows_per_batch=windows_per_batch))
        assert [outcome.path for outcome in outcomes] == [str(path) for path in paths]
        for outcome, path in zip(outcomes, paths, strict=True):
            if isinstance(outcome, TagFailure):
                with pytest.raises(AudioFileError) as caught:
                    tagger.tag(path)
                assert (outcome.message, outcome.reason) == (str(caught.value), caught.value.reason)
            else:
                np.testing.assert_allclose(outcome.windows.scores, tagger.tag(path).windows.scores, atol=TOLERANCE)
        assert [type(outcome) for outcome in outcomes].count(TagFailure) == 2


def test_a_batch_holds_windows_of_several_sounds_and_no_more_than_asked(tmp_path: Path, tagger: Tagger) -> None:
    class Counting:
        name = "counting"

        def __init__(self) -> None:
            self.sizes: list[int] = []

        def run(self, windows: np.ndarray) -> tuple[np.ndarray, None]:
            self.sizes.append(len(windows))
            return np.zeros((len(windows), len(LABELS)), dtype=np.float32), None

    backend = Counting()
    counted = Tagger(backend, LABELS, sample_rate_hz=RATE_HZ, clip_samples=tagger.clip_samples)
    sounds = [ArraySound(noise(seconds), RATE_HZ) for seconds in (1.5, 1.5, 6.0, 1.5)]
    assert len(list(counted.tag_many(sounds, windows_per_batch=4))) == 4
    assert backend.sizes == [4, 3]
    with pytest.raises(ArgumentError, match=r"embeddings.*'counting'"):
        counted.tag(noise(1.0), sample_rate_hz=RATE_HZ, embeddings=True)


def test_sounds_are_asked_for_as_they_are_needed(tagger: Tagger) -> None:
    asked: list[int] = []

    def sounds() -> Iterator[ArraySound]:
        for index in range(100):
            asked.append(index)
            yield ArraySound(noise(1.5), RATE_HZ, name=str(index))

    outcomes = tagger.tag_many(sounds(), windows_per_batch=2)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(asked) <= 6


class Live:
    """A sound that never ends, a block every few milliseconds."""

    name = "live"

    def __init__(self) -> None:
        self.num_blocks = 0

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        while True:
            time.sleep(0.002)
            self.num_blocks += 1
            yield noise(0.05), RATE_HZ


def test_who_stops_listening_does_not_wait_for_a_batch(tagger: Tagger) -> None:
    class Broken:
        name = "broken"

        def run(self, windows: np.ndarray) -> tuple[np.ndarray, None]:
            raise KeyboardInterrupt

    live = Live()
    broken = Tagger(Broken(), LABELS, sample_rate_hz=RATE_HZ, clip_samples=tagger.clip_samples)
    with pytest.raises(KeyboardInterrupt):
        list(broken.tag_many([live], windows_per_batch=8))
    assert live.num_blocks < 2 * 8 * CLIP_S / 0.05  # it stopped before the second batch was full


def test_many_broken_files_are_told_of_as_they_come(tmp_path: Path, tagger: Tagger) -> None:
    asked: list[int] = []

    def sounds() -> Iterator[Path]:
        for index in range(500):
            asked.append(index)
            yield tmp_path / f"none{index}.wav"

    outcomes = tagger.tag_many(sounds())
    assert isinstance(next(outcomes), TagFailure)
    assert len(asked) < 200
    assert len(list(outcomes)) == 499


def test_blocks_can_be_watched(tagger: Tagger) -> None:
    heard: list[np.ndarray] = []
    sound = noise(3.0)
    tagger.tag(sound, sample_rate_hz=RATE_HZ, on_block=heard.append)
    np.testing.assert_array_equal(np.concatenate(heard), sound)


def test_results_turn_to_json_and_dataframes(tagger: Tagger) -> None:
    result = tagger.tag(noise(3.0), sample_rate_hz=RATE_HZ, top_k=2, timeline=True, threshold=0.01)
    document = json.loads(json.dumps(result.to_json_dict()))
    assert [tag["id"] for tag in document["tags"]] == [tag.id for tag in result.tags]
    frame = result.to_dataframe()
    assert list(frame.columns) == ["path", "id", "name", "score"] and len(frame) == 2
    assert result.events and len(result.events_dataframe()) == len(result.events)
    assert list(tagger.tag(noise(3.0), sample_rate_hz=RATE_HZ).events_dataframe().columns)[3] == "onset_s"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, r"`top_k` \(=0\)"),
        ({"threshold": 1.5}, r"`threshold` \(=1.5\)"),
        ({"threshold": "high"}, "'fitted'"),
        ({"threshold": np.zeros(3)}, r"shape \(3,\)"),
        ({"window_s": 0}, "`window_s`"),
        ({"window_s": 9.0}, "at most 1.5 s, the model's clip"),
        ({"hop_s": 2.0}, "at most 1.5 s, the window"),
        ({"pooling": "median"}, "mean, max, noisy_or"),
        ({"short": "mirror"}, "pad, repeat"),
        ({"classes": ["Z"]}, "'Z'"),
        ({"loud": True}, "`loud` is not an option of tagging"),
        ({"timeline": Timeline(min_gap_s=-1)}, "min_gap_s"),
    ],
)
def test_wrong_options_are_named(tagger: Tagger, options: dict[str, Any], message: str) -> None:
    with pytest.raises(AudioDclsError, match=message):
        tagger.tag(noise(0.5), sample_rate_hz=RATE_HZ, **options)


def test_what_is_no_sound_is_named(tagger: Tagger) -> None:
    with pytest.raises(ArgumentError, match=r"`sound` \(a list\).*`tag_many`"):
        tagger.tag([0.1, 0.2], sample_rate_hz=RATE_HZ)  # type: ignore[arg-type]
    halves = torch.from_numpy(noise(1.0)).to(torch.bfloat16)
    assert tagger.tag(halves, sample_rate_hz=RATE_HZ).num_windows == 1


def test_a_rate_belongs_to_samples(tmp_path: Path, tagger: Tagger) -> None:
    with pytest.raises(ArgumentError, match=r"`sample_rate_hz` \(=None\)"):
        tagger.tag(noise(1.0))
    with pytest.raises(ArgumentError, match="has its own rate"):
        tagger.tag(tmp_path / "a.wav", sample_rate_hz=32_000)


@pytest.mark.parametrize("window", [1, 4, 7])
@pytest.mark.parametrize("num_samples", [1, 3, 4, 5, 7, 8, 22, 29])
def test_windows_of_a_stream_are_those_of_the_whole(window: int, num_samples: int) -> None:
    sound = np.arange(num_samples, dtype=np.float32)
    rng = np.random.default_rng(num_samples)
    for hop in range(1, window + 1):
        splitter = WindowSplitter(window, hop)
        cut = sorted(rng.integers(0, num_samples + 1, 4))
        found = [item for block in np.split(sound, cut) for item in splitter.push(block)]
        found += list(splitter.finish())
        starts = window_starts(num_samples, window, hop)
        assert [start for start, _ in found] == starts
        for start, samples in found:
            np.testing.assert_array_equal(samples, sound[start : start + window])


def test_filling_and_pooling_of_nothing_unknown() -> None:
    np.testing.assert_array_equal(fill_window(np.array([1.0, 2.0]), 3, "pad"), [1, 2, 0])
    with pytest.raises(ArgumentError, match="pad, repeat"):
        fill_window(np.ones(1), 3, "mirror")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="noisy_or"):
        pool_scores(np.ones((1, 1)), "median")  # type: ignore[arg-type]


def test_integers_in_disguise_and_names_that_are_nearly_right_are_told() -> None:
    loud = 3e4 * np.sign(np.sin(np.arange(16_000, dtype=np.float32)))
    with pytest.raises(
        ArgumentError, match=r"reaches 30000, and floating point has full scale at 1; divide it by 32768"
    ):
        next(iter(ArraySound(loud, 16_000).blocks()))
    next(iter(ArraySound(3 * np.ones(1600, dtype=np.float32), 16_000).blocks()))
    with pytest.raises(ArgumentError, match=r"=44100.5\) must be a whole number"):
        next(iter(ArraySound(loud / 3e4, 44_100.5).blocks()))  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=r"did you mean the published weights 'convnext_tiny-dcls'\?"):
        Tagger.load("convnext_tiny_dcls")
    with pytest.raises(ArgumentError, match=r"`source` \(=3\) must be a path"):
        Tagger.load(3)  # type: ignore[arg-type]


def test_a_printed_result_leaves_embeddings_out() -> None:
    windows = WindowScores(np.zeros(1), np.ones(1), np.zeros((1, 2), dtype=np.float32))
    assert "embedding" not in repr(TagResult("a.wav", 1.0, 1, (), windows, None, np.zeros(4), np.zeros((1, 4))))


@pytest.mark.parametrize("sounds", ["folder", Path("a.wav"), None, np.zeros(16_000)])
def test_one_sound_is_not_several(checkpoint: Path, sounds: Any) -> None:
    with pytest.raises(ArgumentError, match="must be several sounds, such as a list of paths"):
        Tagger.load(checkpoint).tag_many(sounds)
