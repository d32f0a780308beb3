"""`audio-dcls manifest index` through the real command, and the index where a manifest stands."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from unittest import mock

import pytest

from audio_dcls_cli import main

ROWS = "id,path,start_s,end_s,labels,split\na,x.wav,,,Speech,train\nb,y.wav,1,2,Dog;Cat,eval\n"


def run(*arguments: object, cwd: Path, code: int = 0) -> str:
    """Standard output; standard error for a mistake."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        mock.patch.object(sys, "argv", ["audio-dcls", "manifest", *map(str, arguments)]),
        pytest.raises(SystemExit) as caught,
    ):
        main.run()
    assert (caught.value.code or 0) == code, stdout.getvalue() + stderr.getvalue()
    return stderr.getvalue() if code == 2 else stdout.getvalue()


def test_an_index_of_two_manifests_counts_like_them(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(ROWS)
    (tmp_path / "two.csv").write_text(ROWS.replace("\na,", "\nc,").replace("\nb,", "\nd,"))
    text = run("index", "one.csv", "two.csv", "--out", "all.clips", cwd=tmp_path)
    assert "4 clips of 2 splits" in text and "data.manifests=[all.clips]" in text
    found = json.loads(run("index", "one.csv", "--out", "one.clips", "--json", cwd=tmp_path))
    assert found["splits"] == {"train": 1, "eval": 1} and found["num_bytes"] == (tmp_path / "one.clips").stat().st_size
    counts = [json.loads(run("stats", name, "--json", cwd=tmp_path)) for name in ("one.csv", "one.clips")]
    assert counts[0]["classes"] == counts[1]["classes"]


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(ROWS)
    (tmp_path / "labels.csv").write_text("index,mid,display_name\n0,/t/a,A\n")
    run("index", "one.csv", "--out", "one.clips", cwd=tmp_path)
    for arguments, words in (
        (("index", "one.csv", "--out", "one.arrow"), "must end in '.clips'"),
        (("index", "one.csv", "one.csv", "--out", "two.clips"), "is listed before"),
        (("stats", "one.clips", "--labels", "labels.csv"), "other classes"),
    ):
        error = run(*arguments, cwd=tmp_path, code=2)
        assert words in error and len(error.strip().splitlines()) == 1
