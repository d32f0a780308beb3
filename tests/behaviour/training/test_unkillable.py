"""A training that is killed, stopped, or loses its newest checkpoint ends with the bits of an uninterrupted one."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from audio_dcls.errors import CheckpointError, RunError
from audio_dcls.models.checkpoint.folders import MODEL_FILE, STATE_FILE
from audio_dcls.models.checkpoint.tensor_file import load_tensors
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training import checkpointing
from audio_dcls.training.interruption import STOPPED_EXIT_CODE, StopRequest
from audio_dcls.training.studies.study import train_study
from audio_dcls.training.train_events import CheckpointDamaged, RunFinished, RunStopped

CHECKPOINTS = {"epochs": 8, "checkpoint_every_steps": 2, "evaluate_every_epochs": 0, "keep_checkpoints": 3}
NUM_STEPS = 48
"""Steps of a training that is killed: enough that it is not finished before a delayed test kills it."""
COMMAND = [sys.executable, "-m", "audio_dcls_cli", "train"]
KILL_IN_CHECKPOINT = """
import os, signal
from audio_dcls.training import checkpointing
from audio_dcls_cli.main import run
save, count = checkpointing.save_training_state, 0
def save_or_die(path, *rest):
    global count
    count += 1
    if count == 3:
        path.write_bytes(b"half a file")
        os.kill(os.getpid(), signal.SIGKILL)
    save(path, *rest)
checkpointing.save_training_state = save_or_die
run()
"""


@pytest.fixture
def values(tiny_values: dict[str, Any]) -> dict[str, Any]:
    return merge(tiny_values, {"loop": CHECKPOINTS})


@pytest.fixture
def config_file(values: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def begin(values: dict[str, Any], folder: Path, stop: StopRequest | None = None) -> Any:
    config, study = build(TrainConfig, values, "test"), StudyDir(folder)
    if not (folder / "config.yaml").exists():
        study.create(config)
    clips = prepare_clips(config.data, load_manifests(config.data), study.report_path)
    return train_study(config, study, clips, stop=stop)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(StudyDir(folder).run(0).newest_checkpoint() / MODEL_FILE)[0]


def assert_same_bits(folder: Path, expected: dict[str, torch.Tensor]) -> None:
    found = weights(folder)
    assert found.keys() == expected.keys()
    assert not [name for name in found if not torch.equal(found[name], expected[name])]


def start_process(arguments: list[str], script: str | None = None) -> subprocess.Popen[str]:
    command = COMMAND if script is None else [sys.executable, "-c", script, "train"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def last_step(folder: Path) -> int:
    path = folder / "seed-0" / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    steps = [json.loads(line)["step"] for line in lines if line.endswith("}")]
    return max(steps, default=0)


def kill_at(process: subprocess.Popen[str], folder: Path, step: int, number: int) -> int:
    """Send a signal once the run has logged a step; its exit code."""
    deadline_s = time.monotonic() + 120
    while last_step(folder) < step and process.poll() is None and time.monotonic() < deadline_s:
        time.sleep(0.005)
    os.killpg(process.pid, number)  # as terminals and schedulers do: to the workers too
    output, _ = process.communicate(timeout=120)
    assert "Traceback" not in output, output
    return process.returncode


def kill_and_go_on(values: dict[str, Any], config_file: Path, folder: Path, steps: list[int]) -> None:
    values = merge(values, {"loop": {"epochs": NUM_STEPS // 3}})  # an epoch has three steps
    config_file.write_text(yaml.safe_dump(values), encoding="utf-8")
    expected_folder = folder.with_name("whole")
    list(begin(values, expected_folder))
    for index, step in enumerate(steps):
        workers = ["--set", f"data.num_workers={index % 3}"]
        begun = (folder / "config.yaml").is_file()
        arguments = ["--resume", str(folder)] if begun else [str(config_file), "--out", str(folder)]
        code = kill_at(start_process(arguments + (workers if begun else [])), folder, step, signal.SIGKILL)
        assert code == -signal.SIGKILL
    done = start_process(["--resume", str(folder)])
    output, _ = done.communicate(timeout=120)
    assert done.returncode == 0, output
    assert_same_bits(folder, weights(expected_folder))
    logged = [json.loads(line) for line in (folder / "seed-0" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged if "loss" in line] == list(range(1, NUM_STEPS + 1))


def test_two_kills_change_no_bit(values: dict[str, Any], config_file: Path, tmp_path: Path) -> None:
    kill_and_go_on(values, config_file, tmp_path / "killed", [5, 12])


@pytest.mark.slow
def test_ten_kills_change_no_bit(values: dict[str, Any], config_file: Path, tmp_path: Path) -> None:
    steps = sorted(random.Random(0).sample(range(1, NUM_STEPS // 2), 10))
    kill_and_go_on(values, config_file, tmp_path / "killed", steps)


def test_a_kill_while_a_checkpoint_is_written_changes_no_bit(
    values: dict[str, Any], config_file: Path, tmp_path: Path
) -> None:
    list(begin(values, tmp_path / "whole"))
    folder = tmp_path / "killed"
    process = start_process([str(config_file), "--out", str(folder)], KILL_IN_CHECKPOINT)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert [path.name for path in StudyDir(folder).run(0).checkpoints()] == ["step-00000002", "step-00000003"]
    list(begin(values, folder))
    assert_same_bits(folder, weights(tmp_path / "whole"))
    assert not list((folder / "seed-0" / "checkpoints").glob(".*"))


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGINT, signal.SIGUSR1))]
)
def test_a_signal_saves_and_exits_with_its_own_code(
    number: int, values: dict[str, Any], config_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "stopped"
    values = merge(values, {"data": {"num_workers": 1}})
    config_file.write_text(yaml.safe_dump(values), encoding="utf-8")
    assert kill_at(start_process([str(config_file), "--out", str(folder)]), folder, 3, number) == STOPPED_EXIT_CODE
    run = StudyDir(folder).run(0)
    assert run.status()["state"] == "stopped"
    assert int(run.newest_checkpoint().name.removeprefix("step-")) == run.status()["step"]
    if number == signal.SIGTERM:
        again = start_process([str(config_file), "--out", str(folder), "--yes"])
        output, _ = again.communicate(timeout=120)
        assert again.returncode == 0 and "Resuming" in output, output
    else:  # a process more would show nothing more
        list(begin(values, folder))
    list(begin(values, tmp_path / "whole"))
    assert_same_bits(folder, weights(tmp_path / "whole"))


def stopped_after(values: dict[str, Any], folder: Path, step: int) -> None:
    stop = StopRequest()
    for event in begin(values, folder, stop):
        if getattr(event, "step", 0) == step:
            stop.name = "SIGTERM"
    assert isinstance(event, RunStopped)


@pytest.mark.parametrize(
    ("name", "harm"),
    [(MODEL_FILE, "flip"), (MODEL_FILE, "cut"), (MODEL_FILE, "delete"), (STATE_FILE, "flip"), (STATE_FILE, "cut")],
)
def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_used(
    name: str, harm: str, values: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    stopped_after(values, folder, 7)
    path = StudyDir(folder).run(0).newest_checkpoint() / name
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    if harm == "delete":
        path.unlink()
    else:
        path.write_bytes(content if harm == "flip" else content[: len(content) // 2])
    found = list(begin(values, folder))
    (damaged,) = [event for event in found if isinstance(event, CheckpointDamaged)]
    assert "step-00000007" in damaged.message and name in damaged.message and "step 6" in damaged.message
    list(begin(values, tmp_path / "whole"))
    assert_same_bits(folder, weights(tmp_path / "whole"))


def test_without_an_intact_checkpoint_training_does_not_restart(values: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    stopped_after(values, folder, 3)
    for checkpoint in StudyDir(folder).run(0).checkpoints():
        (checkpoint / MODEL_FILE).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no checkpoint .* is intact.*step-00000003"):
        list(begin(values, folder))


def test_a_full_disk_leaves_the_last_checkpoint_intact(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, save = tmp_path / "full", checkpointing.save_training_state
    calls: list[Path] = []

    def save_until_full(path: Path, *rest: Any) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save(path, *rest)

    monkeypatch.setattr(checkpointing, "save_training_state", save_until_full)
    with pytest.raises(RunError, match=r"step 4 cannot be written.*No space left.*step-00000003.*--resume"):
        list(begin(values, folder))
    run = StudyDir(folder).run(0)
    assert run.intact_checkpoint() == (run.checkpoint_path(3), [])
    assert run.status()["state"] == "stopped"
    monkeypatch.undo()
    assert isinstance(list(begin(values, folder))[-1], RunFinished)
