"""A run's folder: its checkpoints, status and metrics."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from audio_dcls.models.checkpoint.folders import MODEL_FILE, STATE_FILE
from audio_dcls.runs.run_dir import RunDir


def write_checkpoint(run: RunDir, step: int, keep: int = 2) -> Path:
    folder = run.begin_checkpoint(step)
    for name in (MODEL_FILE, STATE_FILE):
        (folder / name).write_bytes(b"x")
    return run.finish_checkpoint(folder, keep=keep)


def test_only_complete_checkpoints_count_and_the_newest_are_kept(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "seed-3")
    for step in (9, 10, 100):
        write_checkpoint(run, step)
    run.begin_checkpoint(200)
    (run.path / "checkpoints/step-00000300").mkdir()
    assert [p.name for p in run.checkpoints()] == ["step-00000010", "step-00000100"]
    assert run.newest_checkpoint().name == "step-00000100"
    assert run.seed == 3


def test_a_kill_while_an_old_checkpoint_is_dropped_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir(tmp_path / "seed-0")
    write_checkpoint(run, 1)
    write_checkpoint(run, 2)

    def killed(folder: Path) -> None:
        next(Path(folder).iterdir()).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            write_checkpoint(run, 3)
    write_checkpoint(run, 4)
    folders = [path.name for path in (run.path / "checkpoints").iterdir()]
    assert sorted(folders) == ["step-00000003", "step-00000004"]


def test_status_is_updated_not_replaced(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "seed-0")
    run.write_status(state="running", step=1)
    run.write_status(step=2)
    assert {k: run.status()[k] for k in ("state", "step")} == {"state": "running", "step": 2}


def test_metrics_of_later_steps_are_dropped_and_half_lines_too(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    for step in (1, 2, 3):
        run.append_metrics({"step": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    run.drop_metrics_after(2)
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2]
