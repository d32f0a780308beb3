"""If one process fails, every process stops and reports the cause."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.settings import merge

SCRIPT = """
import os, signal, sys
from audio_dcls.errors import AudioFileError
from audio_dcls.training.loop import Trainer
from audio_dcls_cli.main import run
step = Trainer._train_step
def fail(trainer, number, *rest):
    if number == 2 and trainer.fabric.global_rank == int(os.environ["FAILING_RANK"]):
        if os.environ["FAILURE"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise AudioFileError("the disk of this machine is gone", reason="unreadable")
    return step(trainer, number, *rest)
Trainer._train_step = fail
run()
"""


def free_port() -> int:
    """One below those that the system gives to whoever asks for any, in the seconds before it is used."""
    for port in random.Random(os.getpid()).sample(range(20_000, 32_000), 100):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError


def start(values: dict[str, Any], folder: Path, failing_rank: int, failure: str) -> list[subprocess.Popen[str]]:
    """Two processes as Slurm starts them: nobody ends one when the other has ended."""
    config, script = folder / "config.yaml", folder / "train.py"
    config.write_text(yaml.safe_dump(merge(values, {"loop": {"per_device_batch": 4}})), encoding="utf-8")
    script.write_text(SCRIPT, encoding="utf-8")
    common = {"SLURM_NTASKS": "2", "SLURM_NNODES": "1", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "localhost",
              "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_ID": "1", "SLURM_NODEID": "0", "MASTER_ADDR": "127.0.0.1",
              "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1",
              "FAILING_RANK": str(failing_rank), "FAILURE": failure}  # fmt: skip
    return [
        subprocess.Popen(
            [sys.executable, str(script), "train", str(config), "--out", str(folder / "study")],
            env=os.environ | common | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip


@pytest.mark.parametrize("failing_rank", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_every_process_says_which_one_failed(failing_rank: int, tiny_values: dict[str, Any], tmp_path: Path) -> None:
    processes = start(tiny_values, tmp_path, failing_rank, "raise")
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [2, 2], outputs
    assert "error: the disk of this machine is gone" in outputs[failing_rank]
    other = outputs[1 - failing_rank]
    assert f"process {failing_rank} (of 2, counted from 0) failed" in other and "the disk of this" in other
    assert not any("Traceback" in output for output in outputs), outputs
    assert StudyDir(tmp_path / "study").run(0).status()["state"] == "stopped"


def test_the_rest_does_not_wait_for_a_killed_process(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    processes = start(tiny_values, tmp_path, 1, "kill")
    processes[1].wait(timeout=120)
    began_s = time.monotonic()
    output, _ = processes[0].communicate(timeout=60)
    assert processes[0].returncode == 2 and "killed" in output and "--resume" in output, output
    assert "Traceback" not in output and time.monotonic() - began_s < 30
