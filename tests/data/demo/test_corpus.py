"""The demo corpus as a whole: files, lists, determinism, and that nothing but listening tells the classes."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import average_precision_score

from audio_dcls.data import load_manifest
from audio_dcls.data.demo import DemoCorpus, demo_labels, write_demo_corpus
from audio_dcls.data.demo.scene import FORMATS, TRAINED_S, draw_recording, render
from audio_dcls.data.demo.sounds import deal_labels
from audio_dcls.errors import ArgumentError, ManifestError
from audio_dcls.labels import LabelSet

NUM_TRAIN, NUM_EVAL = 14, 6


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> DemoCorpus:
    folder = tmp_path_factory.mktemp("demo") / "corpus"
    return write_demo_corpus(folder, seed=1, num_train=NUM_TRAIN, num_eval=NUM_EVAL)


def test_manifest_names_every_file_and_audioset_s_labels(corpus: DemoCorpus) -> None:
    labels = LabelSet.from_csv(corpus.labels)
    manifest = load_manifest(corpus.manifest, labels)
    assert labels == demo_labels()
    assert Counter(clip.split for clip in manifest.clips) == {"train": NUM_TRAIN, "eval": NUM_EVAL}
    assert {clip.path.name for clip in manifest.clips} == {path.name for path in corpus.audio.iterdir()}
    for clip in manifest.clips:
        assert 1 <= len(clip.labels) <= 4
        assert clip.path.stem == clip.id
        assert len(clip.id) == 11


def test_segments_are_in_audioset_s_form(corpus: DemoCorpus) -> None:
    audioset = LabelSet.audioset()
    for split, path in corpus.segments.items():
        lines = path.read_text().splitlines()
        assert [line.startswith("# ") for line in lines[:4]] == [True, True, True, False]
        assert lines[2] == "# YTID, start_seconds, end_seconds, positive_labels"
        rows = list(csv.reader(lines[3:], skipinitialspace=True))
        assert len(rows) == {"train": NUM_TRAIN, "eval": NUM_EVAL}[split]
        for ytid, start, end, mids in rows:
            (file,) = corpus.audio.glob(f"{ytid}.*")
            assert float(start) == 0.0
            assert float(end) == pytest.approx(soundfile.info(file).duration, abs=1e-9)
            assert all(mid in audioset.ids for mid in mids.split(","))


def test_files_hold_sound_below_full_scale(corpus: DemoCorpus) -> None:
    for path in corpus.audio.iterdir():
        info = soundfile.info(path)
        sound, _ = soundfile.read(path)
        assert 1.0 <= info.duration <= 14.0
        assert 8_000 <= info.samplerate <= 48_000
        assert info.channels in (1, 2)
        assert path.suffix == f".{info.format.lower()}"
        assert np.isfinite(sound).all()
        assert 0.01 < np.abs(sound).max() <= 1.0


def test_the_same_seed_gives_the_same_corpus_with_any_number_of_workers(corpus: DemoCorpus, tmp_path: Path) -> None:
    progress: list[int] = []
    smaller = write_demo_corpus(
        tmp_path / "again", seed=1, num_train=4, num_eval=2, num_workers=1, on_progress=progress.append
    )
    assert sum(progress) == 6
    for path in smaller.audio.iterdir():
        assert np.array_equal(soundfile.read(path)[0], soundfile.read(corpus.audio / path.name)[0]), path.name
    other = write_demo_corpus(tmp_path / "other", seed=2, num_train=1, num_eval=1)
    assert not {path.name for path in other.audio.iterdir()} & {path.name for path in corpus.audio.iterdir()}


def test_a_finished_corpus_is_reused_and_another_is_left_alone(tmp_path: Path) -> None:
    first = write_demo_corpus(tmp_path / "corpus", seed=5, num_train=1, num_eval=1)
    written_ns = first.manifest.stat().st_mtime_ns
    again = write_demo_corpus(tmp_path / "corpus", seed=5, num_train=1, num_eval=1)
    assert (first.reused, again.reused) == (False, True)
    assert again.manifest.stat().st_mtime_ns == written_ns
    with pytest.raises(ManifestError, match=r"another demo corpus.*delete"):
        write_demo_corpus(tmp_path / "corpus", seed=6, num_train=1, num_eval=1)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_a_folder_of_other_things_or_a_damaged_marker_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ManifestError, match=r"not changed; name a new or an empty folder"):
        write_demo_corpus(tmp_path, num_train=1, num_eval=1)
    with pytest.raises(ManifestError, match=r"is a file"):
        write_demo_corpus(tmp_path / "notes.txt", num_train=1, num_eval=1)
    (tmp_path / "demo_corpus.json").write_text("{")
    with pytest.raises(ManifestError, match=r"not the JSON"):
        write_demo_corpus(tmp_path, num_train=1, num_eval=1)


def test_a_failed_run_leaves_nothing_and_an_abandoned_one_is_swept(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(count: int) -> None:
        raise StopError

    with pytest.raises(StopError):
        write_demo_corpus(tmp_path / "corpus", num_train=3, num_eval=1, on_progress=stop)
    assert list(tmp_path.iterdir()) == []
    abandoned, recent = tmp_path / ".corpus.partial-a", tmp_path / ".corpus.partial-b"
    for folder in (abandoned, recent):
        (folder / "audio").mkdir(parents=True)
    os.utime(abandoned / "audio", (0, 0))
    (tmp_path / "corpus").mkdir()
    corpus = write_demo_corpus(tmp_path / "corpus", num_train=1, num_eval=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".corpus.partial-b", "corpus"]
    assert json.loads((corpus.folder / "demo_corpus.json").read_text())["num_train"] == 1


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"num_train": 0}, {"num_eval": 0}, {"num_workers": 0}])
def test_numbers_out_of_range_are_named(wrong: dict[str, int], tmp_path: Path) -> None:
    (name,) = wrong
    with pytest.raises(ArgumentError, match=f"`{name}`"):
        write_demo_corpus(tmp_path / "corpus", **wrong)


def test_classes_are_dealt_evenly_and_hands_are_distinct() -> None:
    hands = deal_labels(0, "eval", 300)
    counts = Counter(label for hand in hands for label in hand)
    assert min(counts.values()) >= 25
    assert max(counts.values()) - min(counts.values()) <= 2
    assert all(len(set(hand)) == len(hand) for hand in hands)
    assert {len(hand) for hand in hands} == {1, 2, 3, 4}
    assert deal_labels(0, "eval", 20) == hands[:20]
    assert deal_labels(0, "train", 20) != hands[:20]


def test_every_event_is_heard_in_the_trained_ten_seconds() -> None:
    # A single event in a long clip: the part above the background must begin before the cut.
    for seed in range(40):
        rng = np.random.default_rng(seed)
        recording = draw_recording(rng)
        if recording.length_s < 12 or recording.sample_rate_hz > 16_000:
            continue
        sound = render([seed % len(demo_labels())], recording, rng).mean(axis=1)
        step = recording.sample_rate_hz // 4
        level = np.sqrt(np.square(sound[: len(sound) // step * step]).reshape(-1, step).mean(axis=1))
        assert level[: int(TRAINED_S * 4)].max() > 0.5 * level.max()


def test_a_class_cannot_be_read_off_length_rate_channels_or_format() -> None:
    """A forest on everything known without listening does no better than chance."""
    num_train, num_eval = 900, 900
    hands = deal_labels(0, "train", num_train + num_eval)
    targets = np.zeros((len(hands), len(demo_labels())), dtype=int)
    features = []
    for index, hand in enumerate(hands):
        targets[index, list(hand)] = 1
        recording = draw_recording(np.random.default_rng(index))
        kind = (recording.container, recording.subtype)
        features.append(
            [
                recording.length_s,
                recording.sample_rate_hz,
                recording.num_channels,
                recording.level_db,
                FORMATS.index(kind),
            ]
        )
    assert excess_precision(np.array(features), targets, num_train) < 0.02


def test_a_class_can_hardly_be_read_off_loudness() -> None:
    """Level and peak of rendered clips: noises and clicks differ in crest factor, and no more than that is known."""
    num_train, num_eval = 150, 100
    hands = deal_labels(3, "train", num_train + num_eval)
    targets = np.zeros((len(hands), len(demo_labels())), dtype=int)
    features = []
    for index, hand in enumerate(hands):
        targets[index, list(hand)] = 1
        rng = np.random.default_rng(index)
        recording = draw_recording(rng)
        short = type(recording)(64_000, 16_000, 1, "WAV", "PCM_16", recording.level_db)
        sound = render(hand, short, rng)
        features.append([np.log(np.sqrt(np.mean(np.square(sound)))), np.log(np.abs(sound).max())])
    assert excess_precision(np.array(features), targets, num_train) < 0.12


def excess_precision(features: np.ndarray, targets: np.ndarray, num_train: int) -> float:
    """Macro average precision of a forest on held-out clips, less the classes' mean prevalence (what chance gives)."""
    forest = ExtraTreesClassifier(100, min_samples_leaf=5, random_state=0).fit(
        features[:num_train], targets[:num_train]
    )
    scores = np.stack([column[:, 1] for column in forest.predict_proba(features[num_train:])], axis=1)
    held_out = targets[num_train:]
    return float(average_precision_score(held_out, scores, average="macro") - held_out.mean())
