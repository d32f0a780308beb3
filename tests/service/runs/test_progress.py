"""Missing, torn or damaged files in a run's folder are left out and never raise an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audio_dcls.runs.run_files import read_metrics
from audio_dcls.service.runs.progress import (
    MAX_POINTS,
    describe_run,
    logged_error,
    read_class_scores,
    read_curves,
    read_progress,
)
from audio_dcls.service.runs.queue import RunEntry
from audio_dcls.service.runs.run_folder import read_tail

CONFIG = "seeds: [0, 1]\nloop: {epochs: 4, effective_batch: 16}\n"
DAMAGED = [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"step": "x", "num_steps": -1}', b"[" * 100_000, b'{"step": NaN}',
           b'{"state": [], "last_evaluation": 3, "step": 1e999}', b'{"step": 1' + b"0" * 400 + b"}"]  # fmt: skip


@pytest.fixture
def entry(tmp_path: Path) -> RunEntry:
    (tmp_path / "run.yaml").write_text(CONFIG)
    for seed in (0, 1):
        (tmp_path / f"run/seed-{seed}").mkdir(parents=True)
    return RunEntry(
        "20260101-000000-abcdef", 1, "run", "train", "running", "run", None, str(tmp_path / "run.yaml"),
        str(tmp_path / "run"), "local", created="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def seed_file(entry: RunEntry, name: str, seed: int = 0) -> Path:
    path = Path(entry.folder, f"seed-{seed}", name)
    path.parent.mkdir(exist_ok=True)
    return path


def lines(*records: dict[str, Any]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def train_line(step: int, **values: Any) -> dict[str, Any]:
    return {"step": step, "epoch": step / 10, "loss": 1 / step, "rate": 1e-3, "clips_per_s": 32.0, **values}


@pytest.mark.parametrize("name", ["status.json", "metrics.jsonl", "eval/per_class.csv"])
@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_files_are_left_out(entry: RunEntry, name: str, content: bytes) -> None:
    seed_file(entry, name).write_bytes(content + b"\n")
    view = describe_run(entry)
    assert [seed.state for seed in view.seeds] == ["waiting", "waiting"] and view.progress == 0 and view.mAP is None
    assert read_progress(entry).num_done == 0
    assert read_curves(entry).series == [] and read_class_scores(entry).classes == []
    view.model_dump_json()


@pytest.mark.parametrize("content", ["", "seeds: 3", "- a", "{", "seeds: [a]\nloop: 3", "cases: 3", "\0"])
def test_a_damaged_config_has_no_seeds(entry: RunEntry, content: str) -> None:
    Path(entry.config_path).write_text(content)
    assert describe_run(entry).seeds == [] and not read_progress(entry).is_done


def test_a_torn_last_line_is_left_for_later(entry: RunEntry) -> None:
    path = seed_file(entry, "metrics.jsonl")
    path.write_bytes(lines(train_line(1), train_line(2)) + b'{"step": 3, "epo')
    assert [line["step"] for line in read_metrics(path)] == [1, 2]
    assert read_curves(entry).series[0].train.step == [1, 2]
    path.write_bytes(lines(train_line(1)) + b"garbage\n" + lines(train_line(2, loss=None)))
    series = read_curves(entry).series[0].train
    assert (series.step, series.loss) == ([1, 2], [1.0, None])


def test_the_end_of_a_long_file_is_read_from_a_whole_line(entry: RunEntry) -> None:
    path = seed_file(entry, "metrics.jsonl")
    path.write_bytes(lines(*(train_line(step) for step in range(1, 100))))
    assert [line["step"] for line in read_metrics(path, last_bytes=300)][-1] == 99
    assert 1 < len(list(read_metrics(path, last_bytes=300))) < 5


def test_progress_and_time_left(entry: RunEntry) -> None:
    seed_file(entry, "status.json").write_text(
        json.dumps({"state": "done", "step": 40, "last_evaluation": {"mAP": 0.4}})
    )
    running = {"state": "running", "step": 10, "num_steps": 40, "epoch": 1.0, "loss": 0.3}
    seed_file(entry, "status.json", 1).write_text(json.dumps(running))
    seed_file(entry, "metrics.jsonl", 1).write_bytes(lines(*(train_line(step) for step in range(1, 11))))
    view = describe_run(entry, position=None, models=["dogs"])
    assert view.progress == pytest.approx((1 + 0.25) / 2)
    assert view.time_left_s == pytest.approx(30 * 16 / 32)  # steps x clips per step / clips per second
    assert view.mAP is not None and (view.mAP.mean, view.mAP.std, view.mAP.num_seeds) == (0.4, None, 1)
    assert (view.seeds[0].epoch, view.seeds[1].epoch, view.seeds[1].num_epochs) == (4.0, 1.0, 4)
    assert view.models == ["dogs"]


def test_curves_are_columns_and_long_ones_thinned(entry: RunEntry) -> None:
    records = [train_line(step) for step in range(1, 4501)]
    records += [
        {"step": 4500, "epoch": 4, "eval": {"mAP": 0.3}},
        {"step": 4500, "failed_clip": "x", "reason": "silent"},
    ]
    seed_file(entry, "metrics.jsonl").write_bytes(lines(*records))
    [series] = read_curves(entry).series
    assert len(series.train.step) <= MAX_POINTS and (series.train.step[0], series.train.step[-1]) == (1, 4500)
    assert len({len(column) for _, column in series.train}) == 1
    assert (series.eval.step, series.eval.mAP) == ([4500], [0.3])


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert read_tail(path, 3) == []
    path.write_bytes(b"a\nb\xff\nc\nd")
    assert read_tail(path, 3) == ["b�", "c", "d"] and read_tail(path, 0) == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", None),
        ("── start 1\nstep 1\n", None),
        ("── start 1\nstep 1\nerror: no space left\n\n", "no space left"),
        ("── start 1\nerror: no space left\n── start 2\nstep 1\n", None),
        ("error: a case failed\nstep 2\n", None),
        ("Traceback (most recent call last):\n  File\nRuntimeError: out of memory\n", "RuntimeError: out of memory"),
        ("Traceback (most recent call last):\n  File\nValueError: of a worker\nstep 3\n", None),
    ],
)
def test_last_words(tmp_path: Path, text: str, error: str | None) -> None:
    (tmp_path / "log").write_text(text)
    assert logged_error(tmp_path / "log") == error
