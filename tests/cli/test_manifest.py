"""`audio-dcls manifest` through the real command line: import, check, count, and mistakes."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import soundfile

from audio_dcls.data.table.clip_set import id_hash
from audio_dcls_cli import main

SEGMENTS = (
    "# Segments csv\n# num_ytids=4\n# YTID, start_seconds, end_seconds, positive_labels\n"
    'aaaaaaaaaaa, 30.000, 40.000, "/m/09x0r,/m/04rlf"\n'
    'bbbbbbbbbbb, 0.000, 10.000, "/m/0bt9lr"\n'
    'ccccccccccc, 0.000, 10.000, "/m/0bt9lr"\n'
    'ddddddddddd, 0.000, 10.000, "/m/09x0r"\n'
)


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    stdout: str
    stderr: str


def run(*arguments: object, cwd: Path, code: int = 0) -> Done:
    """Run the command's entry point in this process: a process of its own takes seconds to import everything."""
    command = ["audio-dcls", "manifest", *map(str, arguments)]
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        mock.patch.object(sys, "argv", command),
        pytest.raises(SystemExit) as caught,
    ):
        main.run()
    assert (caught.value.code or 0) == code, stdout.getvalue() + stderr.getvalue()
    return Done(stdout.getvalue(), stderr.getvalue())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good clips, one that is text, one that is missing; imported and checked."""
    folder = tmp_path_factory.mktemp("audioset")
    (folder / "eval_segments.csv").write_text(SEGMENTS)
    (folder / "audio").mkdir()
    noise = (3000 * np.random.default_rng(0).standard_normal(8000)).astype(np.int16)  # the same in both files
    soundfile.write(folder / "audio" / "Yaaaaaaaaaaa.wav", noise, 8000)
    soundfile.write(folder / "audio" / "bbbbbbbbbbb_0_10.flac", noise, 8000)
    (folder / "audio" / "ccccccccccc.wav").write_text("404 [not] found")
    done = run("audioset", "--segments", "eval_segments.csv", "--audio", "audio", "--out", "clips.csv", cwd=folder)
    assert "4 segments: 3 with a file, 1 missing" in done.stdout
    assert "audio-dcls manifest check clips.csv" in done.stdout
    return folder


def test_import_for_programs(folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "aaaaaaaaaaa.wav", np.full(8000 * 50, 0.1), 8000)  # a whole recording
    arguments = ("--segments", folder / "eval_segments.csv", "--audio", tmp_path, "--out", tmp_path / "m.csv", "--json")
    found = json.loads(run("audioset", *arguments, cwd=folder).stdout)
    assert (found["splits"], found["found"], found["missing"], found["parts_of_recordings"]) == (
        {"eval": 4},
        1,
        3,
        1,
    )


def test_a_folder_in_place_of_a_file_is_named(folder: Path, tmp_path: Path) -> None:
    error = run("check", "clips.csv", "--html", tmp_path, cwd=folder, code=2).stderr
    assert f"'{tmp_path}': is a directory" in error and ".tmp" not in error


def test_imported_manifest(folder: Path) -> None:
    rows = list(csv.DictReader((folder / "clips.csv").open(newline="")))
    assert [(row["id"], row["path"], row["labels"], row["split"]) for row in rows] == [
        ("aaaaaaaaaaa_30000", "audio/Yaaaaaaaaaaa.wav", "/m/09x0r;/m/04rlf", "eval"),
        ("bbbbbbbbbbb_0", "audio/bbbbbbbbbbb_0_10.flac", "/m/0bt9lr", "eval"),
        ("ccccccccccc_0", "audio/ccccccccccc.wav", "/m/0bt9lr", "eval"),
        ("ddddddddddd_0", "audio/ddddddddddd.wav", "/m/09x0r", "eval"),
    ]


def test_check_tells_coverage_and_reasons(folder: Path) -> None:
    done = run("check", "clips.csv", "--report", "report.csv", "--html", "page/audit.html", cwd=folder, code=1)
    lines = [line.split() for line in done.stdout.split("\n\n")[0].splitlines()]
    usable = id_hash(["aaaaaaaaaaa_30000"])
    assert lines == [
        ["split", "clips", "usable", "coverage", "clip", "ids"],
        ["eval", "4", "2", "50.0%", id_hash(["aaaaaaaaaaa_30000", "bbbbbbbbbbb_0"])],
        ["all", "4", "2", "50.0%"],
    ]
    assert "ccccccccccc_0 (unreadable): 'audio/ccccccccccc.wav'" in done.stdout
    assert "ddddddddddd_0 (missing): 'audio/ddddddddddd.wav' does not exist" in done.stdout
    assert "bbbbbbbbbbb_0 (duplicate): 'audio/bbbbbbbbbbb_0_10.flac' holds the same sound as" in done.stdout
    assert "<h1>Audit</h1>" in (folder / "page" / "audit.html").read_text()
    rows = list(csv.DictReader((folder / "report.csv").open(newline="")))
    assert [row["reason"] for row in rows] == ["", "", "unreadable", "missing"]
    assert [row["warnings"] for row in rows] == ["", "duplicate", "", ""]
    options = ("--report", "report.csv", "--json", "--duplicates", "drop")
    document = json.loads(run("check", "clips.csv", *options, cwd=folder, code=1).stdout)
    split = document["splits"]["eval"]
    assert (split["num_listed"], split["num_usable"], split["fraction"]) == (4, 1, 0.25)
    assert split["clip_id_hash"] == usable
    assert document["faults"] == {"unreadable": 1, "missing": 1, "duplicate": 1}
    assert [problem["id"] for problem in document["problems"]] == ["bbbbbbbbbbb_0", "ccccccccccc_0", "ddddddddddd_0"]


def test_check_by_options(folder: Path) -> None:
    (folder / "good.csv").write_text("".join((folder / "clips.csv").read_text().splitlines(keepends=True)[:3]))
    options = ("--clip-s", "3", "--tolerance-s", "1.9", "--clipped-share", "0", "--json")
    document = json.loads(run("check", "good.csv", *options, cwd=folder).stdout)
    assert document["warnings"] == {"wrong_length": 2, "duplicate": 1}
    assert {problem["is_fault"] for problem in document["problems"]} == {False}
    done = run("check", "good.csv", "--held-out", "test", cwd=folder, code=2)
    assert "--held-out names 'test', which must be one of eval" in done.stderr


def test_check_of_good_clips_exits_with_0(folder: Path) -> None:
    (folder / "good.csv").write_text("".join((folder / "clips.csv").read_text().splitlines(keepends=True)[:3]))
    done = run("check", "good.csv", "--workers", 0, cwd=folder)
    assert "100.0%" in done.stdout
    assert "left out" not in done.stdout


def test_in_a_process_of_its_own(folder: Path) -> None:
    command = [sys.executable, "-m", "audio_dcls_cli", "manifest", "check", "clips.csv"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "missing" in done.stdout


def test_stats(folder: Path) -> None:
    document = json.loads(run("stats", "clips.csv", "--json", cwd=folder).stdout)
    assert document["splits"] == {"eval": 4}
    counts = {entry["name"]: entry["eval"] for entry in document["classes"]}
    assert len(counts) == 527
    assert {name: count for name, count in counts.items() if count} == {"Speech": 2, "Music": 1, "Dog": 2}
    assert document["class_pairs"] == [{"first": "/m/09x0r", "second": "/m/04rlf", "num_clips": 1, "share": 1.0}]
    done = run("stats", "clips.csv", "--top-k", 2, cwd=folder)
    assert "Speech + Music" in done.stdout
    assert "3 of 527" in done.stdout
    assert "1 more classes" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "none.csv"], ["none.csv", "does not exist"]),
        (["check", "eval_segments.csv"], ["eval_segments.csv", "a segments file of AudioSet"]),
        (["check", "clips.csv", "--labels", "none.csv"], ["label file", "does not exist"]),
        (["check", "clips.csv", "--report", "clips.csv"], ["clips.csv", "not the header of a clip report"]),
        (
            ["audioset", "--segments", "eval_segments.csv", "--audio", "no", "--out", "x.csv"],
            ["'no'", "does not exist"],
        ),
        (
            [
                "audioset",
                "--segments",
                "eval_segments.csv",
                "--audio",
                "audio",
                "--out",
                "x.csv",
                "--split",
                "a",
                "--split",
                "b",
            ],
            ["--split is given 2 times"],
        ),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(folder: Path, arguments: list[str], words: list[str]) -> None:
    done = run(*arguments, cwd=folder, code=2)
    assert len(done.stderr.strip().splitlines()) == 1
    for word in words:
        assert word in done.stderr
    assert not (folder / "x.csv").exists()
