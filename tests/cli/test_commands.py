"""The real command line, in a process of its own: train, eval, tag, and every mistake in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml

from audio_dcls_cli import main


def run(*arguments: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "audio_dcls_cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def refuse(arguments: list[str], cwd: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error of a command that must end with code 2; in this process, to save its start."""
    monkeypatch.chdir(cwd)
    monkeypatch.setattr(sys, "argv", ["audio-dcls", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == 2
    text = capsys.readouterr().err.strip()
    assert len(text.splitlines()) == 1
    return text


@pytest.fixture(scope="module")
def trained(tiny_values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a study of two seeds under runs/."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tiny_values))
    done = run("train", "tiny.yaml", "--seed", 0, "--seed", 1, "--set", "loop.epochs=6", cwd=folder)
    assert "Seed 1 done: mAP" in done.stdout
    return folder


def test_eval_without_argument_measures_the_latest_study(trained: Path) -> None:
    done = run("eval", "--mAP", cwd=trained)
    assert "mean ± std" in done.stdout
    assert "clips 12 of 12 (coverage 100.0%)" in done.stdout


def test_eval_prints_json_and_takes_a_run_and_a_manifest(trained: Path, tiny_corpus: Path) -> None:
    study = next((trained / "runs").iterdir())
    got = json.loads(run("eval", study / "seed-1", "--json", cwd=trained).stdout)
    assert [r["seed"] for r in got["runs"]] == [1]
    assert 0 < got["summary"]["mAP"]["mean"] <= 1
    manifest = tiny_corpus / "manifest.csv"
    other = run("eval", study, "--manifest", manifest, "--split", "train", "--json", cwd=trained)
    assert json.loads(other.stdout)["num_clips"] == 24


def test_tag_names_sounds_of_any_length_and_goes_on_after_a_bad_file(trained: Path, tiny_corpus: Path) -> None:
    long_sound, rate_hz = soundfile.read(tiny_corpus / "clip00.wav")
    soundfile.write(trained / "long.flac", list(long_sound) * 9, rate_hz)
    (trained / "bad.wav").write_text("no sound")
    done = run("tag", "bad.wav", "long.flac", "--json", "--top-k", 2, cwd=trained, code=2)
    assert "bad.wav" in done.stderr
    got = json.loads(done.stdout)
    assert len(got["tags"]) == 2
    assert got["num_windows"] > 3
    assert got["tags"][0]["name"] in {"Low", "High", "Noise"}
    assert "long.flac" in run("tag", "long.flac", "--threshold", 1.0, cwd=trained).stdout


def test_tag_shows_the_labels_a_manifest_gives(trained: Path, tiny_corpus: Path) -> None:
    clip, manifest = tiny_corpus / "clip30.wav", tiny_corpus / "manifest.csv"
    done = run("tag", clip, "--truth", manifest, cwd=trained)
    assert "labelled: Low" in done.stdout
    assert "Low ✓" in done.stdout


def test_training_goes_on(trained: Path) -> None:
    study = next((trained / "runs").iterdir())
    assert "already trained" in run("train", "--resume", study, cwd=trained).stdout


def test_a_study_is_never_overwritten(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = next((trained / "runs").iterdir())
    assert "--resume" in refuse(["train", "tiny.yaml", "--out", str(study)], trained, monkeypatch, capsys)


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
def test_a_mistake_is_one_line_and_code_2(
    trained: Path,
    arguments: list[str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert expected in refuse(arguments, trained, monkeypatch, capsys)


def test_eval_and_tag_without_any_run_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["eval", "--mAP"], ["tag", "x.wav"]):
        assert "audio-dcls train" in refuse(arguments, tmp_path, monkeypatch, capsys)


def test_help_and_version_answer(tmp_path: Path) -> None:
    text = run("--help", cwd=tmp_path).stdout
    assert all(name in text for name in ("train", "eval", "tag", "models", "manifest", "demo"))
    assert run("--version", cwd=tmp_path).stdout.startswith("audio-dcls ")


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = {"torch", "numpy", "pandas", "timm"}
    code = f"import sys; from audio_dcls_cli import main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
