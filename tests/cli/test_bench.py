"""`audio-dcls bench` through the real command."""

from __future__ import annotations

import json
import subprocess
import sys

COMMAND = [sys.executable, "-m", "audio_dcls_cli", "bench"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=300)


def test_measures_prints_and_writes(tmp_path):
    out = tmp_path / "results"
    arguments = ["inference", "--model", "convnext_atto", "--batch", "1", "--precision", "fp32", "--peer", "7x7"]
    done = run(*arguments, "--rounds", "2", "--threads", "1", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "dcls fp32 ÷ 7x7 fp32" in done.stdout and "share of gemm" in done.stdout
    report = json.loads((out / "bench.json").read_text())
    assert len(report["cases"][0]["contenders"][0]["values"]) == 2
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_prints_one_json_object(tmp_path):
    arguments = ["construction", "--model", "convnext_atto", "--peer", "7x7", "--rounds", "1", "--json"]
    done = run(*arguments, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cases"][0]["suite"] == "construction"


def test_mistakes_are_one_line(tmp_path):
    for arguments, named in (
        (["speed"], "speed"),
        (["train", "--model", "convnxt_tiny"], "convnext_tiny"),
        (["train", "--device", "cuda0"], "cuda0"),
    ):
        done = run(*arguments, "--out", str(tmp_path), "--rounds", "1")
        assert done.returncode == 2 and named in done.stderr and "Traceback" not in done.stderr
