"""Mean and deviation of spectrograms against numpy on librosa's, and `manifest frontend-stats` through the command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch

from audio_dcls.data.loading.spectrogram_stats import Moments, draw_clips, measure_spectrograms, stats_fragment
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ArgumentError, ManifestError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.settings import build, load_yaml

FRONTEND = FrontendConfig(clip_s=0.6, num_mels=40)
TOLERANCE_DB = 1e-3  # librosa computes in float32 too; single values differ by 6e-4 dB
LENGTHS_S = (0.6, 0.4, 1.0, 0.6, 0.25, 0.6, 0.6, 0.6, 0.6, 0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sounds of several levels and lengths, one that is no sound, and a manifest."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    rows = ["id,path,start_s,end_s,labels,split"]
    for index, length_s in enumerate(LENGTHS_S):
        sound = 10.0 ** rng.uniform(-3, -0.5) * rng.uniform(-1, 1, round(length_s * 32_000))
        soundfile.write(folder / f"{index}.wav", sound, 32_000, subtype="FLOAT")
        rows.append(f"clip{index},{index}.wav,,,Speech,{'train' if index < 8 else 'eval'}")
    (folder / "broken.wav").write_text("no sound")
    rows.append("broken,broken.wav,,,Speech,train")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    return folder


def table(folder: Path, *names: str) -> ClipTable:
    return ClipTable.from_clips(Clip(name, folder / f"{name}.wav", None, None, (0,), "train") for name in names)


def librosas(folder: Path, names: list[str]) -> np.ndarray:
    """Decibels of all values of all clips."""
    values = []
    for name in names:
        sound = librosa.load(folder / f"{name}.wav", sr=None)[0]
        sound = librosa.util.fix_length(sound[: FRONTEND.clip_samples], size=FRONTEND.clip_samples)
        mel = librosa.feature.melspectrogram(
            y=sound, sr=32_000, n_fft=1024, hop_length=320, n_mels=40, fmin=50, fmax=14_000, htk=True, norm=None,
            pad_mode="reflect",
        )  # fmt: skip
        values.append(10 * np.log10(np.maximum(mel, FRONTEND.amin)).ravel())
    return np.concatenate(values).astype(np.float64)


def test_is_numpys_on_librosas_spectrograms(folder: Path) -> None:
    names = [str(index) for index in range(len(LENGTHS_S))]
    expected = librosas(folder, names)
    done: list[int] = []
    found = measure_spectrograms(table(folder, *names, "broken"), FRONTEND, on_progress=done.append)
    assert (found.num_clips, found.num_failed, sum(done)) == (len(names), 1, len(names) + 1)
    assert abs(found.mean_db - expected.mean()) < TOLERANCE_DB
    assert abs(found.std_db - expected.std()) < TOLERANCE_DB
    assert abs(found.floor_share - np.mean(expected <= -100 + 1e-3)) < TOLERANCE_DB
    assert found.floor_share > 0.02


def test_workers_change_nothing(folder: Path) -> None:
    clips = table(folder, *(str(index) for index in range(len(LENGTHS_S))))
    assert measure_spectrograms(clips, FRONTEND, num_workers=2) == measure_spectrograms(clips, FRONTEND)


def test_the_configured_numbers_play_no_part(folder: Path) -> None:
    clips = table(folder, "0", "1")
    other = FRONTEND.model_copy(update={"mean_db": 5.0, "std_db": 2.0})
    assert measure_spectrograms(clips, other) == measure_spectrograms(clips, FRONTEND)


def test_moments_keep_their_digits() -> None:
    values = 1e6 + np.random.default_rng(0).standard_normal(10_000)
    moments = Moments()
    for piece in np.array_split(values, [1, 2, 500, 501, 7000]):
        moments = moments.merged(Moments.of(torch.from_numpy(piece)))
    assert moments.num_values == len(values)
    assert math.isclose(moments.mean, values.mean(), rel_tol=1e-14)
    assert math.isclose(moments.std, values.std(), rel_tol=1e-9)


def test_clips_are_drawn_once_each_and_in_order(folder: Path) -> None:
    clips = table(folder, *(str(index) for index in range(10)))
    drawn = [int(clip.id) for clip in draw_clips(clips, 4, seed=1)]
    assert drawn == sorted(set(drawn)) and len(drawn) == 4
    assert [int(clip.id) for clip in draw_clips(clips, 4, seed=1)] == drawn
    assert any([int(clip.id) for clip in draw_clips(clips, 4, seed=seed)] != drawn for seed in range(5))
    assert draw_clips(clips, 10) is clips
    with pytest.raises(ArgumentError, match=r"`num_clips` \(=0\)"):
        draw_clips(clips, 0)


def test_no_readable_clip_is_an_error(folder: Path) -> None:
    with pytest.raises(ManifestError, match=r"not one of the 1 clips can be read, such as '.*broken.wav'"):
        measure_spectrograms(table(folder, "broken"), FRONTEND)


def test_a_config_includes_what_was_measured(folder: Path, tmp_path: Path) -> None:
    stats = measure_spectrograms(table(folder, "0", "1"), FRONTEND)
    (tmp_path / "stats.yaml").write_text(stats_fragment(stats, FRONTEND, "split train of clips.csv"))
    (tmp_path / "config.yaml").write_text("include: stats.yaml\nfrontend:\n  num_mels: 40\n")
    frontend = build(FrontendConfig, load_yaml(tmp_path / "config.yaml")["frontend"], "test")
    assert frontend.num_mels == 40
    assert abs(frontend.mean_db - stats.mean_db) < 1e-4 and abs(frontend.std_db - stats.std_db) < 1e-4


def test_the_command(folder: Path, tmp_path: Path, manifest_command: Callable[..., str]) -> None:
    (tmp_path / "config.yaml").write_text("frontend:\n  clip_s: 0.6\n  num_mels: 40\n")
    arguments = [folder / "clips.csv", "--out", "out/stats.yaml", "--workers", 0]
    text = manifest_command("frontend-stats", *arguments, "--config", "config.yaml", cwd=tmp_path)
    assert "over 8 clips" in text and "1 clips could not be read" in text and "include: out/stats.yaml" in text
    values = load_yaml(tmp_path / "out" / "stats.yaml")["frontend"]
    expected = librosas(folder, [str(index) for index in range(8)])
    assert abs(values["mean_db"] - expected.mean()) < TOLERANCE_DB
    assert abs(values["std_db"] - expected.std()) < TOLERANCE_DB
    options = ["--config", "config.yaml", "--split", "eval", "--limit", 1, "--json"]
    found = json.loads(manifest_command("frontend-stats", *arguments, *options, cwd=tmp_path))
    assert (found["num_clips"], found["splits"]) == (1, ["eval"])
    error = manifest_command("frontend-stats", *arguments, "--split", "trian", cwd=tmp_path, code=2)
    assert "no clip of split 'trian'; did you mean 'train'?" in error
