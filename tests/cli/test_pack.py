"""`audio-dcls pack` through the real command line."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from audio_dcls_cli import main

Run = Callable[..., str]


@pytest.fixture
def run() -> Run:
    """Runs the command; returns standard output, or standard error for a mistake."""

    def run_(*arguments: object, code: int = 0) -> str:
        stdout, stderr = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
            mock.patch.object(sys, "argv", ["audio-dcls", *map(str, arguments)]),
            pytest.raises(SystemExit) as caught,
        ):
            main.run()
        assert (caught.value.code or 0) == code, stdout.getvalue() + stderr.getvalue()
        return stderr.getvalue() if code == 2 else stdout.getvalue()

    return run_


@pytest.fixture
def packed(tiny_corpus: Path, tmp_path: Path, run: Run) -> Path:
    """The tiny corpus, packed."""
    out = tmp_path / "pack"
    labels = tiny_corpus / "labels.csv"
    text = run("pack", tiny_corpus / "manifest.csv", out, "--labels", labels, "--rows-per-shard", 10, "--rate", 16_000)
    assert f"next: audio-dcls pack verify {out}" in text
    return out


def test_pack_verify_and_info(packed, run):
    assert "36 clips in 5 shards: everything is as it was when packed" in run("pack", "verify", packed)
    info = json.loads(run("pack", "info", packed, "--json"))
    assert (info["codec"], info["sample_rate_hz"], info["splits"]) == ("flac", 16_000, {"train": 24, "eval": 12})
    assert "train" in run("pack", "info", packed)
    document = json.loads(run("pack", "verify", packed, "--json"))
    assert document["faults"] == [] and document["num_rows"] == 36


def test_a_second_run_says_what_was_there(packed, tiny_corpus, run):
    arguments = ["--labels", tiny_corpus / "labels.csv", "--rows-per-shard", 10, "--rate", 16_000]
    assert "5 shards were already packed" in run("pack", "write", tiny_corpus / "manifest.csv", packed, *arguments)
    error = run("pack", tiny_corpus / "manifest.csv", packed, "--codec", "opus", *arguments, code=2)
    assert "codec flac, requested opus" in error and len(error.strip().splitlines()) == 1


def test_a_flipped_byte_is_named_and_mended(packed, run, tiny_corpus):
    shard = packed / "data" / "train-00001-of-00003.parquet"
    whole = shard.read_bytes()
    content = bytearray(whole)
    content[len(content) // 3] ^= 4
    shard.write_bytes(content)
    text = run("pack", "verify", packed, code=1)
    assert "'data/train-00001-of-00003.parquet', row " in text and "has changed" in text
    assert "Delete these files, and give the same pack command again" in text
    assert len(json.loads(run("pack", "verify", packed, "--json", code=1))["faults"]) == 1
    shard.unlink()
    arguments = ("--labels", tiny_corpus / "labels.csv", "--rows-per-shard", 10, "--rate", 16_000)
    assert "4 shards were already packed" in run("pack", tiny_corpus / "manifest.csv", packed, *arguments)
    assert shard.read_bytes() == whole


def test_clips_that_cannot_be_read_give_code_1(tiny_corpus, tmp_path, run):
    rows = (tiny_corpus / "manifest.csv").read_text().splitlines()[:4]
    rows.append("lost,lost.wav,,,/t/low,train")
    (tmp_path / "manifest.csv").write_text(
        "\n".join([rows[0], *(row.replace(",clip", f",{tiny_corpus}/clip", 1) for row in rows[1:])]) + "\n"
    )
    arguments = ["pack", tmp_path / "manifest.csv", tmp_path / "pack", "--labels", tiny_corpus / "labels.csv"]
    text = run(*arguments, code=1)
    assert "left out: lost (missing)" in text and "left_out.csv" in text
    document = json.loads(run(*arguments, "--json", code=1))
    assert (document["num_rows"], document["left_out"][0]["reason"], document["shards_kept"]) == (3, "missing", 1)


def test_a_pack_is_a_manifest(packed, tiny_corpus, run):
    labels = ["--labels", tiny_corpus / "labels.csv"]
    assert "100.0%" in run("manifest", "check", packed, *labels)
    assert json.loads(run("manifest", "stats", packed, *labels, "--json"))["splits"] == {"train": 24, "eval": 12}


def test_help_and_mistakes(tmp_path, run):
    assert "verify" in run("pack", "--help")
    assert "--codec" in run("pack", "write", "--help")
    assert "does not exist" in run("pack", "verify", tmp_path / "none", code=2)
    assert "does not exist" in run("pack", tmp_path / "none.csv", tmp_path / "pack", code=2)
