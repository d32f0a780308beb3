"""Checking clips: each fault by its reason, the same report however it is made, and nothing decoded twice."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_dcls.data.audit import check
from audio_dcls.data.audit.check import check_clips
from audio_dcls.data.audit.report import Coverage
from audio_dcls.data.audit.report_file import REPORT_COLUMNS, read_report, write_report
from audio_dcls.data.manifest import Manifest
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ArgumentError, ManifestError
from audio_dcls.labels import LabelSet

FAULTS = ("missing", "empty", "truncated", "text", "not_finite", "too_short", "silent", "out_of_range", "changed")
REASONS = {fault: "unreadable" if fault in ("truncated", "text") else fault for fault in FAULTS}


def make_clip(folder: Path, name: str, index: int) -> Clip:
    """A clip with the fault its name says, or a good one."""
    path = folder / f"{index:02d}-{name}.wav"
    noise = 0.1 * np.random.default_rng(index).standard_normal(8000)
    if name == "not_finite":
        noise[100] = np.nan
    elif name == "silent":
        noise[:] = 0
    elif name == "too_short":
        noise = noise[:700]
    if name == "empty":
        path.touch()
    elif name == "text":
        path.write_text("404 not found\n" * 20)
    elif name != "missing":
        soundfile.write(path, noise, 8000, subtype="FLOAT")
    if name == "truncated":
        path.write_bytes(path.read_bytes()[:16000])
    sha256 = {"changed": "0" * 64, "good": hashlib.sha256(path.read_bytes()).hexdigest() if name == "good" else None}
    start_s = 2.0 if name == "out_of_range" else None
    split = "eval" if index % 3 == 0 else "train"
    return Clip(f"{name}-{index}", path, start_s, None, (index % 5, 7), split, sha256.get(name))


@pytest.fixture
def clips(tmp_path) -> list[Clip]:
    """Good clips with one of each fault between them."""
    names = [name for fault in FAULTS for name in (fault, "good", "good")]
    return [make_clip(tmp_path, name, index) for index, name in enumerate(names)]


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_every_fault_is_found_by_reason_and_nothing_else(clips, num_workers):
    report = check_clips(clips, num_workers=num_workers)
    assert {problem.id.partition("-")[0]: problem.reason for problem in report.problems} == REASONS
    assert [problem.id for problem in report.problems] == [clip.id for clip in clips if "good" not in clip.id]
    assert list(report.usable) == [clip for clip in clips if "good" in clip.id]
    for problem in report.problems:
        assert str(problem.path) in problem.message
        assert ";" in problem.message


def test_report_does_not_depend_on_the_number_of_workers(clips):
    reports = [check_clips(clips * 5, num_workers=n) for n in (0, 4)]
    assert reports[0] == reports[1]


def test_coverage_of_each_split(clips):
    coverage = check_clips(clips).coverage()
    assert coverage == {"eval": Coverage(9, 0), "train": Coverage(18, 18)}
    assert coverage["eval"].fraction == 0.0
    assert coverage["train"].fraction == 1.0


def test_progress_counts_every_clip(clips):
    counts: list[int] = []
    check_clips(clips * 3, num_workers=2, on_progress=counts.append)
    assert sum(counts) == len(clips) * 3
    assert len(counts) > 1


def test_columns_stay_columns(clips):
    table = Manifest(clips=clips, labels=LabelSet.audioset(), source="memory").clips
    report = check_clips(table)
    assert isinstance(report.usable, ClipTable)
    assert list(report.usable) == [clip for clip in clips if "good" in clip.id]
    assert report.coverage() == check_clips(clips).coverage()


def test_no_clips():
    report = check_clips([])
    assert (list(report.usable), report.problems, report.coverage()) == ([], [], {})


def test_written_and_read(clips, tmp_path):
    report = check_clips(clips)
    write_report(report, tmp_path / "out" / "report.csv")
    again = read_report(tmp_path / "out" / "report.csv")
    assert again.problems == report.problems
    assert list(again.outcomes) == list(report.outcomes)
    assert again.coverage() == report.coverage()
    write_report(check_clips([]), tmp_path / "empty.csv")
    assert read_report(tmp_path / "empty.csv").problems == []


def count_reads(monkeypatch) -> list[Path]:
    """Paths decoded from now on."""
    paths: list[Path] = []
    decode_mono = check.decode_mono

    def counted(path: Path, **keywords):
        paths.append(path)
        return decode_mono(path, **keywords)

    monkeypatch.setattr(check, "decode_mono", counted)
    return paths


def test_unchanged_files_are_not_decoded_again(clips, tmp_path, monkeypatch):
    report = check_clips(clips)
    write_report(report, tmp_path / "report.csv")
    paths = count_reads(monkeypatch)
    again = check_clips(clips, previous=[read_report(tmp_path / "report.csv")])
    assert again == report
    assert paths == [clip.path for clip in clips if "missing" in clip.id]


def test_what_changed_is_decoded_again(clips, tmp_path, monkeypatch):
    good, other = (clip for clip in clips if clip.id in ("good-1", "good-2"))
    missing = next(clip for clip in clips if "missing" in clip.id)
    silent = next(clip for clip in clips if "silent" in clip.id)
    report = check_clips(clips)
    good.path.write_bytes(other.path.read_bytes())
    os.utime(other.path, ns=(1, 1))
    soundfile.write(missing.path, np.sin(np.arange(8000.0)), 8000)
    soundfile.write(silent.path, np.sin(np.arange(8000.0)), 8000)
    paths = count_reads(monkeypatch)
    longer = Clip(silent.id, silent.path, 0.5, None, (), "train")
    again = check_clips([*clips, longer], previous=[report])
    assert set(paths) == {other.path, missing.path, silent.path}  # good is refused by its digest
    assert len(paths) == 4
    assert {problem.id: problem.reason for problem in again.problems}["good-1"] == "changed"
    assert not {missing.id, silent.id, other.id} & {problem.id for problem in again.problems}


@pytest.mark.parametrize("content", ["id,path\na,b\n", ",".join(REPORT_COLUMNS) + "\na,b,,,train,,,,many,1,,,,,\n"])
def test_what_is_no_report_is_named(tmp_path, content):
    (tmp_path / "report.csv").write_text(content)
    with pytest.raises(ManifestError, match=r"report.csv', row \d"):
        read_report(tmp_path / "report.csv")
    with pytest.raises(ManifestError, match="does not exist"):
        read_report(tmp_path / "none.csv")


def test_negative_workers():
    with pytest.raises(ArgumentError, match="num_workers"):
        check_clips([], num_workers=-1)
