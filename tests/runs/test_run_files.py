"""Files of a run that another process is writing: anything torn or damaged is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from audio_dcls.runs.run_files import read_json, read_metrics, read_per_class


@pytest.mark.parametrize("content", [None, b"", b'{"state": "runn', b"[1]", b"\xff\xfe", b"[" * 10_000])
def test_a_damaged_status_is_empty(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    if content is not None:
        path.write_bytes(content)
    assert read_json(path) == {}


def test_torn_lines_of_metrics_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert list(read_metrics(path)) == []
    path.write_bytes(b'{"step": 1}\n{"ste\n{"loss": 2}\n{"step": true}\n{"step": 2}\n{"step": 3}')
    assert [line["step"] for line in read_metrics(path)] == [1, 2]
    assert [line["step"] for line in read_metrics(path, last_bytes=25)] == [2]


def test_short_rows_per_class_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "per_class.csv"
    assert read_per_class(path) == []
    path.write_text("index,mid,auc\n0,/m/a,0.5\n1,/m/b")
    assert read_per_class(path) == [{"index": "0", "mid": "/m/a", "auc": "0.5"}]
