"""`audio-dcls bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_measures_prints_and_writes(command_line: Any, tmp_path: Path) -> None:
    out = tmp_path / "results"
    arguments = ["inference", "--model", "convnext_atto", "--batch", "1", "--precision", "fp32", "--peer", "7x7"]
    text = command_line("bench", *arguments, "--rounds", 2, "--threads", 1, "--out", out).stdout
    assert "dcls fp32 ÷ 7x7 fp32" in text and "share of gemm" in text
    report = json.loads((out / "bench.json").read_text())
    assert len(report["cases"][0]["contenders"][0]["values"]) == 2
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_prints_one_json_object(command_line: Any, tmp_path: Path) -> None:
    arguments = ["construction", "--model", "convnext_atto", "--peer", "7x7", "--rounds", 1, "--threads", 1, "--json"]
    text = command_line("bench", *arguments, "--out", tmp_path).stdout
    assert json.loads(text)["cases"][0]["suite"] == "construction"


def test_without_bf16_instructions_fp32_alone_is_measured(command_line: Any, tmp_path: Path, monkeypatch: Any) -> None:
    for has_it, measured in ((True, ["fp32", "bf16"]), (False, ["fp32"])):
        monkeypatch.setattr("audio_dcls_cli.actions.bench.has_bf16", lambda _device, found=has_it: found)
        arguments = ["construction", "--model", "convnext_atto", "--peer", "7x7", "--rounds", 1, "--threads", 1]
        text = command_line("bench", *arguments, "--json", "--out", tmp_path).stdout
        assert list(json.loads(text)["peaks_gflops"]) == measured


def test_mistakes_are_one_line(command_line: Any, tmp_path: Path) -> None:
    for arguments, named in (
        (["speed"], "speed"),
        (["train", "--model", "convnxt_tiny"], "convnext_tiny"),
        (["train", "--device", "cuda0"], "cuda0"),
    ):
        assert named in command_line.refuse("bench", *arguments, "--out", tmp_path, "--rounds", 1)
