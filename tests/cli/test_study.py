"""`audio-dcls study` train, leave out what is done, go on, and the table."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

STUDY = Path("runs/duel")
Prompt = Callable[..., str]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "audio_dcls_cli", "study", *map(str, arguments)]


@pytest.fixture(scope="module")
def folder(tiny_values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a study file, all of whose runs are trained."""
    folder = tmp_path_factory.mktemp("study")
    write_files(folder, tiny_values)
    done = subprocess.run(command("study.yaml"), cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    headings = [line for line in done.stdout.splitlines() if "(run " in line]
    assert [heading.partition(" (")[0] for heading in headings] == [
        *("plain, seed 0", "swapped, seed 0"),
        *("plain, seed 1", "swapped, seed 1"),
    ]
    assert done.stdout.count("Clips, train") == 1
    assert "4 of 4 runs done" in done.stdout
    assert "2 of 2" in done.stdout
    return folder


def write_files(folder: Path, tiny_values: dict[str, Any]) -> None:
    (folder / "configs").mkdir()
    (folder / "configs" / "tiny.yaml").write_text(yaml.safe_dump(tiny_values))
    document = {
        "name": "duel",
        "seeds": [0, 1],
        "set": {"loop": {"epochs": 1}},
        "cases": {
            "plain": {"config": "configs/tiny.yaml", "set": {"model": {"dcls": None}}},
            "swapped": {"config": "configs/tiny.yaml", "baseline": "plain"},
        },
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


@pytest.fixture
def copied(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the trained study, as the working directory."""
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def prompt(command_line: Any) -> Prompt:
    """`audio-dcls study` with arguments -> what it prints, or the one line it refuses with."""

    def run(*arguments: object, code: int = 0) -> str:
        return command_line.refuse("study", *arguments) if code else command_line("study", *arguments).stdout

    return run


def test_what_is_done_is_left_out(copied: Path, prompt: Prompt) -> None:
    before = (STUDY / "plain" / "seed-0" / "status.json").read_bytes()
    assert "already trained" in prompt("study.yaml")
    assert "already trained" in prompt("--resume", STUDY)
    assert "already trained" in prompt("run", "study.yaml", "--yes", "--only", "case=plain")
    assert (STUDY / "plain" / "seed-0" / "status.json").read_bytes() == before


def test_a_run_that_was_removed_is_trained_again_to_the_same_score(copied: Path, prompt: Prompt) -> None:
    status = STUDY / "swapped" / "seed-1" / "status.json"
    score = json.loads(status.read_text())["last_evaluation"]
    shutil.rmtree(status.parent)
    shutil.rmtree(STUDY / "plain" / "seed-1")
    text = prompt("study.yaml", "--only", "case=swapped,seed=1")
    assert "swapped, seed 1 (run 1 of 1)" in text
    assert "3 of 4 runs done" in text
    assert json.loads(status.read_text())["last_evaluation"] == score
    assert not (STUDY / "plain" / "seed-1" / "status.json").exists()


def test_the_table_is_printed_and_written(copied: Path, prompt: Prompt) -> None:
    text = prompt("table", STUDY, "--batch", 2, "--rounds", 1, "--device", "cpu")
    assert "tagging (clips/s)" in text
    assert "paired t-test" in text
    table = STUDY / "table"
    assert sorted(path.name for path in table.iterdir()) == [f"table.{e}" for e in ("csv", "json", "md", "png", "tex")]
    assert (table / "table.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads((table / "table.json").read_text())
    assert document["machine"]["batch"] == 2
    assert document["missing"] == []
    scores = {
        seed: json.loads((STUDY / "plain" / f"seed-{seed}" / "status.json").read_text())["last_evaluation"]["mAP"]
        for seed in (0, 1)
    }
    rows = list(csv.DictReader((table / "table.csv").open()))
    assert [row["case"] for row in rows] == ["plain", "swapped"]
    assert [float(rows[0][f"mAP_seed_{seed}"]) for seed in scores] == list(scores.values())
    assert float(rows[1]["train_clips_per_s"]) > 0


def test_the_table_names_what_is_missing(copied: Path, prompt: Prompt) -> None:
    shutil.rmtree(STUDY / "swapped" / "seed-1")
    text = prompt("table", STUDY, "--no-speed", "--out", "elsewhere")
    wanted = "audio-dcls study --resume runs/duel --only case=swapped,seed=1"
    assert f"missing: swapped, seed 1 (to do): {wanted}" in text
    assert "tagging" not in text
    assert wanted in Path("elsewhere/table.md").read_text()
    document = json.loads(prompt("table", STUDY, "--no-speed", "--json"))
    assert document["missing"] == [{"case": "swapped", "seed": 1, "state": "to do", "command": wanted}]
    assert document["machine"] is None


def test_the_runs_are_listed_as_only_takes_them(copied: Path, prompt: Prompt) -> None:
    lines = prompt("study.yaml", "--list").split()
    assert lines == ["case=plain,seed=0", "case=swapped,seed=0", "case=plain,seed=1", "case=swapped,seed=1"]
    assert prompt("study.yaml", "--list", "--only", lines[2]).split() == lines[2:3]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere.yaml"], "nowhere.yaml"),
        (["study.yaml", "--only", "case=swaped"], "did you mean 'swapped'?"),
        (["study.yaml", "--only", "seed=9"], "its seeds are [0, 1]"),
        (["study.yaml", "--only", "plain"], "case=NAME,seed=NUMBER"),
        (["study.yaml", "--set", "loop.epoch=3"], "did you mean 'epochs'?"),
        (["study.yaml", "--set", "loop.epochs=3"], "differs in cases.plain.loop.epochs"),
        (["--resume", "runs/duel", "--set", "loop.epochs=3"], "would change what is trained"),
        (["--resume", "runs/duel", "study.yaml"], "leave out CONFIG"),
        (["--resume", "nowhere"], "'nowhere' is not a study of cases"),
        (["--yes"], "name a study file"),
        (["table", "runs/duel/plain"], "a study of one config"),
        (["table", "nowhere"], "audio-dcls study CONFIG"),
        (["table", "runs/duel", "--device", "tpu"], "'tpu'"),
        (["configs/tiny.yaml"], "unknown key"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(copied: Path, prompt: Prompt, arguments: list[str], expected: str) -> None:
    assert expected in prompt(*arguments, code=2)


def test_help_explains_both(prompt: Prompt) -> None:
    text = " ".join(prompt("--help").split())
    assert "audio-dcls study CONFIG" in text
    assert "audio-dcls study table DIR" in text
    assert "--only" in prompt("run", "--help")


def test_a_signal_stops_the_study_and_the_same_command_goes_on(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    write_files(tmp_path, tiny_values)
    arguments = command("study.yaml", "--only", "case=plain,seed=0", "--set", "loop.epochs=400")
    process = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    status = tmp_path / STUDY / "plain" / "seed-0" / "status.json"
    deadline_s = time.monotonic() + 240
    while not (status.is_file() and json.loads(status.read_text()).get("step")):
        assert process.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 75, text
    assert "Resume with: audio-dcls study --resume runs/duel" in text
    assert json.loads(status.read_text())["state"] == "stopped"
