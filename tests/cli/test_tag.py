"""`audio-dcls tag` through the real command line: every kind of sound and of output."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from audio_dcls.frontend import FrontendConfig
from audio_dcls.inference import Tagger
from audio_dcls.labels import LabelSet
from audio_dcls.models import ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import save_checkpoint, store_thresholds
from bench_tools.command import measure_command

RATE_HZ = 32_000
LABELS = LabelSet(("/m/0bt9lr", "/m/05tny_", "/m/04rlf"), ("Dog", "Bark", "Music"))
MODEL = ModelConfig(name="convnext_atto", overrides={"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]})
FRONTEND = FrontendConfig(clip_s=1.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    tagger = build_tagger(MODEL, FRONTEND, len(LABELS))
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_checkpoint(path, tagger, model_config=MODEL, frontend_config=FRONTEND, labels=LABELS, info={})
    return path


def sound(seconds: float, seed: int = 0, rate_hz: int = RATE_HZ, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.3, 0.3, (round(seconds * rate_hz), channels)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four sounds at two depths, and a file that is not a sound."""
    (tmp_path / "sounds" / "deep").mkdir(parents=True)
    for number, name in enumerate(["a.wav", "b.flac", "deep/c.ogg", "deep/d.mp3"]):
        soundfile.write(tmp_path / "sounds" / name, sound(1 + number, number, 44_100, 2), 44_100)
    (tmp_path / "sounds" / "notes.txt").write_text("not a sound")
    monkeypatch.chdir(tmp_path)
    return tmp_path


NAMES = ["sounds/a.wav", "sounds/b.flac", "sounds/deep/c.ogg", "sounds/deep/d.mp3"]


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["sounds"], NAMES),
        (["sounds/deep", "sounds/a.wav"], [NAMES[2], NAMES[3], NAMES[0]]),
        (["sounds/**/*"], NAMES),
        (["sounds/*.flac", "sounds/b.flac"], [NAMES[1]]),
    ],
)
def test_files_folders_and_patterns(
    folder: Path, model: Path, command_line: Any, inputs: list[str], expected: list[str]
) -> None:
    found = records(command_line("tag", *inputs, "--checkpoint", model, "--json").stdout)
    assert [record["path"] for record in found] == expected
    tagger = Tagger.load(model)
    for record in found:
        assert record["tags"] == tagger.tag(record["path"]).to_json_dict()["tags"]


def test_a_manifest_is_its_clips_with_their_times(folder: Path, model: Path, command_line: Any) -> None:
    rows = ["id,path,start_s,end_s,labels,split", "one,sounds/b.flac,0.5,1.25,Dog,x", "two,sounds/a.wav,,,Music,x"]
    Path("m.csv").write_text("\n".join(rows) + "\n")
    found = records(command_line("tag", "m.csv", "--checkpoint", model, "--json", "--truth", "m.csv").stdout)
    assert [(record["path"], record["duration_s"]) for record in found] == [("one", 0.75), ("two", 1.0)]
    assert [record["true_labels"] for record in found] == [["Dog"], ["Music"]]


class Pipe:
    """Standard input that holds bytes."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)

    def isatty(self) -> bool:
        return False


def test_standard_input(folder: Path, model: Path, command_line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = sound(2.0)
    soundfile.write("x.wav", samples, RATE_HZ, subtype="FLOAT")
    (expected,) = records(command_line("tag", "x.wav", "--checkpoint", model, "--json").stdout)
    monkeypatch.setattr(sys, "stdin", Pipe(Path("x.wav").read_bytes()))
    (piped,) = records(command_line("tag", "-", "--checkpoint", model, "--json").stdout)
    monkeypatch.setattr(sys, "stdin", Pipe(samples.tobytes()))
    (raw,) = records(command_line("tag", "-", "--raw", "32000,1,f32le", "--checkpoint", model, "--json").stdout)
    assert piped["path"] == raw["path"] == "-"
    assert piped["tags"] == raw["tags"] == expected["tags"]
    assert "not among the sounds" in command_line.refuse("tag", "x.wav", "--raw", "16000", "--checkpoint", model)


def test_options_reach_the_tagger(folder: Path, model: Path, command_line: Any) -> None:
    options = ["--top-k", 2, "--window", 1, "--hop", 0.5, "--pooling", "max", "--short", "repeat", "--threshold", 0.2]
    (found,) = records(command_line("tag", NAMES[3], *options, "--checkpoint", model, "--json").stdout)
    expected = Tagger.load(model).tag(
        NAMES[3], top_k=2, window_s=1, hop_s=0.5, pooling="max", short="repeat", threshold=0.2
    )
    assert found == json.loads(json.dumps(expected.to_json_dict()))
    (dogs,) = records(command_line("tag", NAMES[3], "--class", "dog", "--checkpoint", model, "--json").stdout)
    assert {tag["name"] for tag in dogs["tags"]} == {"Dog", "Bark"}  # Bark is beneath Dog in the ontology


def test_fitted_thresholds(folder: Path, model: Path, command_line: Any) -> None:
    shutil.copy(model, "fitted.safetensors")
    assert "--fit-thresholds" in command_line.refuse(
        "tag", NAMES[0], "--threshold", "fitted", "--checkpoint", "fitted.safetensors"
    )
    store_thresholds("fitted.safetensors", [0.0, np.inf, np.inf], split="val", clip_id_hash="x")
    done = command_line("tag", NAMES[0], "--threshold", "fitted", "--checkpoint", "fitted.safetensors", "--json")
    assert [tag["name"] for tag in records(done.stdout)[0]["tags"]] == ["Dog"]


def test_events_pictures_and_embeddings(folder: Path, model: Path, command_line: Any) -> None:
    outputs = ["--timeline", "out/events.csv", "--plot", "out/plots", "--embeddings", "out/e.parquet"]
    text = command_line("tag", "sounds", *outputs, "--threshold", 0.3, "--checkpoint", model).stdout
    events = pd.read_csv("out/events.csv")
    assert f"{len(events)} events: out/events.csv" in text and set(events["path"]) <= set(NAMES) and len(events)
    for name in NAMES:
        assert (Path("out/plots") / f"{Path(name).name}.png").read_bytes().startswith(b"\x89PNG")
    embeddings = pd.read_parquet("out/e.parquet")
    assert list(embeddings["path"]) == NAMES
    expected = Tagger.load(model).tag(NAMES[3], embeddings=True, timeline=True).embedding
    np.testing.assert_allclose(np.stack(embeddings["embedding"])[3], expected, rtol=1e-4, atol=1e-5)
    one = ["--timeline", "one.txt", "--plot", "one.png", "--embeddings", "one.npz", "--threshold", "0.3"]
    command_line("tag", NAMES[0], *one, "--checkpoint", model)
    assert Path("one.png").is_file() and Path("one.txt").is_file()
    assert np.load("one.npz")["paths"].tolist() == [NAMES[0]]


def test_the_timeline_of_a_resumed_tagging_is_whole(folder: Path, model: Path, command_line: Any) -> None:
    shared = ["--threshold", 0.3, "--checkpoint", model]
    command_line("tag", "sounds", "--timeline", "whole.csv", *shared)
    command_line("tag", *NAMES[:2], "--out", "o.jsonl", "--timeline", "part.csv", *shared)
    command_line("tag", "sounds", "--out", "o.jsonl", "--resume", "--timeline", "resumed.csv", *shared)
    assert Path("resumed.csv").read_text() == Path("whole.csv").read_text()


def test_a_torn_last_line_is_done_again_and_another_file_is_refused(
    folder: Path, model: Path, command_line: Any
) -> None:
    command_line("tag", "sounds", "--out", "o.jsonl", "--checkpoint", model)
    whole = Path("o.jsonl").read_text()
    Path("o.jsonl").write_text(whole[:-20])
    text = command_line("tag", "sounds", "--out", "o.jsonl", "--resume", "--checkpoint", model).stdout
    assert "3 of 4 sounds are done in o.jsonl, 1 left" in text
    assert Path("o.jsonl").read_text() == whole
    Path("other.jsonl").write_text('{"x": 1}\n')
    refuse = command_line.refuse
    assert "'other.jsonl', line 1" in refuse("tag", NAMES[0], "--out", "other.jsonl", "--resume", "--checkpoint", model)
    assert "exists; continue it with --resume" in refuse("tag", NAMES[0], "--out", "o.jsonl", "--checkpoint", model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no SOUND is named"),
        (["empty"], "folder 'empty' holds no sound file"),
        (["*.wave"], r"no sound file matches '*.wave'"),
        (["sounds/a.wav", "--resume"], "--out FILE.jsonl"),
        (["sounds/a.wav", "--timeline", "x.doc"], "'x.doc' must end in one of .csv"),
        (["sounds", "--timeline", "x.txt"], "'x.txt' is a label track, which belongs to one sound"),
        (["sounds/a.wav", "--timeline", "segments.csv"], "'segments.csv' exists and is not a list of events"),
        ([""], "a SOUND is an empty name"),
        (["sounds/a.wav", "--window", "0.001"], "--window (=0.001) must be at least 0.01 s"),
        (["segments.csv"], "'segments.csv' is a segments file of AudioSet, not a manifest"),
        (["sounds/a.wav", "--embeddings", "x.csv"], "'x.csv' must end in one of .npz, .parquet"),
        (["sounds/a.wav", "--plot", "x.wav"], "'x.wav' must end in one of"),
        (["sounds/a.wav", "--threshold", "2"], "--threshold (=2.0)"),
        (["sounds/a.wav", "--window", "100"], "--window (=100)"),
        (["sounds/a.wav", "--class", "Dgo"], "Dgo"),
        (["sounds/a.wav", "--device", "gpu"], "--device (='gpu')"),
        (["-", "--raw", "loud"], "--raw (='loud')"),
        (["sounds/a.wav", "--truth", "none.csv"], "none.csv"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, model: Path, command_line: Any, arguments: list[str], message: str
) -> None:
    Path("empty").mkdir()
    Path("segments.csv").write_text("# Segments csv created 2017\n# num_ytids=1\n# YTID, start_seconds\n")
    assert message in command_line.refuse("tag", *arguments, "--checkpoint", model)


@pytest.mark.parametrize(
    ("option", "value", "choices"),
    [
        ("--backend", "tensorflow", "'torch', 'onnx', 'openvino'"),
        ("--precision", "fp8", "'fp32', 'bf16'"),
        ("--pooling", "sum", "'mean', 'max', 'noisy_or'"),
    ],
)
def test_a_wrong_choice_is_named_with_the_right_ones(
    folder: Path, command_line: Any, option: str, value: str, choices: str
) -> None:
    text = " ".join(command_line("tag", "sounds/a.wav", option, value, code=2).stderr.replace("│", " ").split())
    assert option in text and f"'{value}' is not one of {choices}" in text


def break_files(folder: Path) -> dict[str, str]:
    """Twenty files that cannot be tagged, of ten kinds, and the reason of each."""
    good = (folder / "000.wav").read_bytes()
    kinds: list[tuple[bytes, str]] = [
        (b"", "empty"),
        (b"<html>404 not found</html>", "unreadable"),
        (good[: len(good) // 3], "unreadable"),
        (good[:44], "unreadable"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", "unreadable"),
        (os.urandom(5000), "unreadable"),
        (b"fLaC" + bytes(100), "unreadable"),
        (b"OggS" + bytes(200), "unreadable"),
        (b"\0\0\0\x1cftypM4A " + bytes(300), "unreadable"),
    ]
    suffixes = ["wav", "mp3", "wav", "wav", "wav", "ogg", "flac", "ogg", "m4a"]
    reasons: dict[str, str] = {}
    for number in range(20):
        if number % 10 == 9:
            path, reason = folder / f"bad{number:02d}.wav", "not_finite"
            samples = sound(0.5, number)
            samples[1000] = np.nan
            soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
        else:
            content, reason = kinds[number % 10]
            path = folder / f"bad{number:02d}.{suffixes[number % 10]}"
            path.write_bytes(content)
        reasons[str(path)] = reason
    return reasons


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """480 good sounds of all kinds, and 20 broken ones."""
    folder = tmp_path_factory.mktemp("mixed")
    suffixes = ["wav", "flac", "ogg", "mp3", "aiff"]
    for number in range(480):
        rate_hz = [8_000, 16_000, 32_000, 44_100][number % 4]
        suffix = suffixes[number % 5]
        name = f"{number:03d}.{suffix}" if number % 3 else f"deep/{number // 100}/{number:03d}.{suffix}"
        path = folder / name if number else folder / "000.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound(0.2 + 0.05 * (number % 20), number, rate_hz, 1 + number % 2), rate_hz)
    return folder, break_files(folder)


def test_a_folder_of_500_with_20_broken_ones(
    mixed: tuple[Path, dict[str, str]], model: Path, command_line: Any, tmp_path: Path
) -> None:
    folder, reasons = mixed
    out = tmp_path / "tags.jsonl"
    done = command_line("tag", folder, "--out", out, "--checkpoint", model, "--batch", 16, code=1)
    assert "480 of 500 sounds tagged, 20 failed" in done.stdout
    assert done.stderr.count("error:") == 20
    found = records(out.read_text())
    failed = {record["path"]: record["reason"] for record in found if "error" in record}
    assert failed == reasons
    assert all(record["path"] in record["error"] for record in found if "error" in record)
    assert len({record["path"] for record in found}) == len(found) == 500


@pytest.mark.slow  # two processes, 8 s of importing each
def test_a_killed_tagging_goes_on_and_does_no_file_twice(
    mixed: tuple[Path, dict[str, str]], model: Path, command_line: Any, tmp_path: Path
) -> None:
    folder, reasons = mixed
    out = tmp_path / "tags.jsonl"
    arguments = ["tag", str(folder), "--out", str(out), "--checkpoint", str(model), "--batch", "2"]
    process = subprocess.Popen([sys.executable, "-m", "audio_dcls_cli", *arguments], stdout=subprocess.DEVNULL)
    while process.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < 100):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = out.read_bytes()
    num_done = before.count(b"\n")
    assert 100 <= num_done < 500
    done = command_line(*arguments, "--resume", code=1)
    assert f"{num_done} of 500 sounds are done in" in done.stdout
    content = out.read_bytes()
    assert content.startswith(before[: before.rindex(b"\n") + 1])  # nothing that was done was done again
    found = records(content.decode())
    assert len({record["path"] for record in found}) == len(found) == 500
    assert {record["path"]: record["reason"] for record in found if "error" in record} == reasons


@pytest.mark.slow  # an hour of sound, in two processes
def test_an_hour_takes_no_more_memory_than_ten_seconds(model: Path, tmp_path: Path) -> None:
    block = sound(60.0, 0, 44_100, 2)
    peaks_mib = []
    for name, num_samples in (("short.wav", 441_000), ("long.wav", 3600 * 44_100)):
        with soundfile.SoundFile(tmp_path / name, "w", 44_100, 2) as file:
            for first in range(0, num_samples, len(block)):
                file.write(block[: num_samples - first])
        command = [sys.executable, "-m", "audio_dcls_cli", "tag", tmp_path / name, "--checkpoint", model, "--batch", 1]
        peaks_mib.append(measure_command([*map(str, command), "--hop", "0.75"]).peak_mib)
    assert peaks_mib[1] - peaks_mib[0] < 300e6 / 2**20


def test_a_message_names_the_option_that_was_given() -> None:
    from audio_dcls_cli.main import name_options

    assert name_options("`hop_s` (=0) must be more", ["tag", "a.wav", "--hop", "0"]) == "--hop (=0) must be more"
    assert name_options("`window_s` (=0)", ["tag", "--window=0"]) == "--window (=0)"
    assert name_options("`hop_s` (=0) must be more", ["tag", "a.wav"]) == "`hop_s` (=0) must be more"
