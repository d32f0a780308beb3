"""The command line: train (in a process of its own), eval, tag, and every mistake in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml

from audio_dcls.runs.locks import try_lock


def run(*arguments: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "audio_dcls_cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def trained(tiny_values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a study of two seeds under runs/."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tiny_values))
    done = run("train", "tiny.yaml", "--seed", 0, "--seed", 1, "--set", "loop.epochs=6", cwd=folder)
    assert "Seed 1 done: mAP" in done.stdout
    return folder


@pytest.fixture
def at_study(trained: Path, command_line: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line in the folder of the trained study."""
    monkeypatch.chdir(trained)
    return command_line


def test_eval_without_argument_measures_the_latest_study(at_study: Any) -> None:
    text = at_study("eval", "--mAP").stdout
    assert "mean ± std" in text
    assert "clips 12 of 12 (coverage 100.0%)" in text


def test_eval_prints_json_and_takes_a_run_and_a_manifest(at_study: Any, tiny_corpus: Path) -> None:
    study = next(Path("runs").iterdir())
    got = json.loads(at_study("eval", study / "seed-1", "--json").stdout)
    assert [r["seed"] for r in got["runs"]] == [1]
    assert 0 < got["summary"]["mAP"]["mean"] <= 1
    manifest = tiny_corpus / "manifest.csv"
    other = at_study("eval", study, "--manifest", manifest, "--split", "train", "--json").stdout
    assert json.loads(other)["num_clips"] == 24


def test_tag_names_sounds_of_any_length_and_goes_on_after_a_bad_file(at_study: Any, tiny_corpus: Path) -> None:
    long_sound, rate_hz = soundfile.read(tiny_corpus / "clip00.wav")
    soundfile.write("long.flac", list(long_sound) * 9, rate_hz)
    Path("bad.wav").write_text("no sound")
    done = at_study("tag", "bad.wav", "long.flac", "--json", "--top-k", 2, code=1)
    assert "bad.wav" in done.stderr
    got = json.loads(done.stdout)
    assert len(got["tags"]) == 2
    assert got["num_windows"] > 3
    assert got["tags"][0]["name"] in {"Low", "High", "Noise"}
    assert "long.flac" in at_study("tag", "long.flac", "--threshold", 1.0).stdout


def test_tag_shows_the_labels_a_manifest_gives(at_study: Any, tiny_corpus: Path) -> None:
    clip, manifest = tiny_corpus / "clip30.wav", tiny_corpus / "manifest.csv"
    text = at_study("tag", clip, "--truth", manifest).stdout
    assert "labelled: Low" in text
    assert "Low ✓" in text
    soundfile.write("other.wav", [0.1, -0.1] * 8000, 16_000)
    assert "shown without labels: 1 of 1 sounds" in at_study("tag", "other.wav", "--truth", manifest).stdout


def test_training_goes_on(at_study: Any) -> None:
    study = next(Path("runs").iterdir())
    assert "already trained" in at_study("train", "--resume", study).stdout


def test_a_study_is_never_overwritten(at_study: Any) -> None:
    study = next(Path("runs").iterdir())
    refusal = at_study.refuse("train", "tiny.yaml", "--out", study)
    assert "differs in seeds, loop.epochs" in refusal and "--resume" in refusal


def test_a_command_that_failed_at_its_start_can_be_given_again(at_study: Any) -> None:
    command = ["train", "tiny.yaml", "--out", "failed", "--set", "loop.epochs=1"]
    assert "nowhere.h5" in at_study.refuse(*command, "--set", "distillation.file=nowhere.h5")
    with try_lock(Path("failed/.lock")):
        assert "another process" in at_study.refuse(*command)
    assert "Seed 0 done" in at_study(*command).stdout
    assert "--yes" in at_study.refuse(*command)


def test_the_same_command_goes_on_with_other_workers(at_study: Any) -> None:
    study = next(Path("runs").iterdir())
    same = ["train", "tiny.yaml", "--seed", 0, "--seed", 1, "--set", "loop.epochs=6", "--out", study]
    assert "--yes" in at_study.refuse(*same)
    assert "already trained" in at_study(*same, "--set", "data.num_workers=1", "--yes").stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "nowhere.yaml"], "nowhere.yaml"),
        (["train", "tiny.yaml", "--set", "loop.epoch=3"], "did you mean 'epochs'?"),
        (["train", "tiny.yaml", "--set", "model.name=convnext_tini"], "convnext_tiny"),
        (["train", "tiny.yaml", "--set", "loop.epochs"], "key=value"),
        (["train", "--resume", "nowhere"], "nowhere"),
        (["train", "tiny.yaml", "--out", "tiny.yaml/x"], "tiny.yaml/x"),
        (["eval", "nowhere"], "nowhere"),
        (["tag", "x.wav", "--checkpoint", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(at_study: Any, arguments: list[str], expected: str) -> None:
    assert expected in at_study.refuse(*arguments)


def test_eval_and_tag_without_any_run_say_what_to_do(
    tmp_path: Path, command_line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (["eval", "--mAP"], ["tag", "x.wav"]):
        assert "audio-dcls train" in command_line.refuse(*arguments)


def test_help_and_version_answer(tmp_path: Path) -> None:
    text = run("--help", cwd=tmp_path).stdout
    assert all(name in text for name in ("train", "eval", "tag", "models", "manifest", "demo"))
    assert run("--version", cwd=tmp_path).stdout.startswith("audio-dcls ")


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = {"torch", "numpy", "pandas", "timm"}
    code = f"import sys; from audio_dcls_cli import main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
