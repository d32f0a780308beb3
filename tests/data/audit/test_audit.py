"""The audit: sounds are compared, lengths and clipping judged, and a killed audit resumes."""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_dcls.data.audit import check
from audio_dcls.data.audit.audit import audit_clips
from audio_dcls.data.audit.check import check_clips
from audio_dcls.data.audit.journal import CheckJournal
from audio_dcls.data.audit.problems import PROBLEM_KINDS
from audio_dcls.data.audit.report import ClipReport
from audio_dcls.data.audit.report_file import read_report
from audio_dcls.data.audit.rules import AuditRules, default_sides, judge
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_set import id_hash
from audio_dcls.errors import ArgumentError, ManifestError

RATE_HZ = 8000
GUIDE = Path(__file__).parents[3] / "docs" / "audit.md"


def write(folder: Path, name: str, seed: int, duration_s: float = 0.25) -> Path:
    noise = np.random.default_rng(seed).integers(-9000, 9000, round(duration_s * RATE_HZ)).astype(np.int16)
    soundfile.write(folder / name, noise, RATE_HZ)
    return folder / name


def make_clips(folder: Path, number: int) -> list[Clip]:
    return [Clip(f"c{i}", write(folder, f"{i}.wav", i), None, None, (0,), "train") for i in range(number)]


def clip_of(path: Path, name: str, split: str, start_s: float | None = None, end_s: float | None = None) -> Clip:
    return Clip(name, path, start_s, end_s, (0,), split)


@pytest.fixture
def doubled(tmp_path: Path) -> list[Clip]:
    """One sound in three splits and two containers, another twice in one split, and one in two parts of a file."""
    one, flac = write(tmp_path, "one.wav", 1), write(tmp_path, "one.flac", 1)
    two, long = write(tmp_path, "two.wav", 2), write(tmp_path, "long.wav", 3, 1.0)
    return [
        clip_of(one, "a", "train"),
        clip_of(flac, "b", "eval"),
        clip_of(one, "c", "more"),
        clip_of(two, "d", "train"),
        clip_of(two, "e", "train"),
        clip_of(long, "f", "train", 0.0, 0.5),
        clip_of(long, "g", "train", 0.5, 1.0),
    ]


def reasons(report: ClipReport) -> dict[str, str]:
    return {problem.id: problem.reason for problem in report.problems}


def warnings(report: ClipReport) -> dict[str, str]:
    return {problem.id: problem.reason for problem in report.warnings}


def test_the_sound_held_out_stays(doubled: list[Clip]) -> None:
    report = audit_clips(doubled, rules=AuditRules(sides=default_sides(["train", "eval", "more"])))
    assert reasons(report) == {"a": "leaked", "c": "leaked"}
    assert warnings(report) == {"e": "duplicate"}
    a, _ = report.problems
    assert "one.wav', of split 'train', holds the same sound as clip 'b'" in a.message
    assert a.message.endswith("remove it from 'train'")


@pytest.mark.parametrize(
    ("rules", "left_out", "warned"),
    [
        (AuditRules(duplicates="drop"), {"a": "leaked", "c": "leaked", "e": "duplicate"}, {}),
        (AuditRules(duplicates=None), {}, {}),
        (AuditRules(sides=(("more",), ("train", "eval"))), {"a": "leaked", "b": "leaked"}, {"e": "duplicate"}),
        (AuditRules(sides=(("train", "eval", "more"),)), {}, {"b": "duplicate", "c": "duplicate", "e": "duplicate"}),
        (AuditRules(sides=(("more",),)), {"a": "leaked", "b": "leaked"}, {"e": "duplicate"}),
    ],
)
def test_rules_for_the_same_sound(
    doubled: list[Clip], rules: AuditRules, left_out: dict[str, str], warned: dict[str, str]
) -> None:
    report = audit_clips(doubled, rules=rules)
    assert (reasons(report), warnings(report)) == (left_out, warned)


def test_a_report_is_judged_again_without_reading(doubled: list[Clip], tmp_path: Path) -> None:
    strict = audit_clips(doubled, tmp_path / "r.csv", rules=AuditRules(duplicates="drop"))
    assert judge(strict, AuditRules(duplicates=None)).problems == []
    assert judge(judge(strict, AuditRules(duplicates=None)), AuditRules(duplicates="drop")) == strict
    read = read_report(tmp_path / "r.csv")
    assert [(p.id, p.reason, p.message) for p in read.problems] == [
        (p.id, p.reason, p.message) for p in strict.problems
    ]


def test_a_report_names_the_clip_that_a_duplicate_repeats(doubled: list[Clip], tmp_path: Path) -> None:
    report = audit_clips(doubled, tmp_path / "r.csv")
    ((warned,), (row,)) = (
        report.warnings,
        [one for one in csv.DictReader((tmp_path / "r.csv").open()) if one["warnings"]],
    )
    assert (row["id"], row["warnings"], row["message"]) == (warned.id, "duplicate", warned.message)
    assert "same sound as clip" in row["message"] and row["reason"] == ""
    assert list(read_report(tmp_path / "r.csv").outcomes) == list(report.outcomes)


def test_lengths(tmp_path: Path) -> None:
    path = write(tmp_path, "a.wav", 0, 2.0)
    clips = [
        clip_of(path, "whole", "train"),
        clip_of(path, "fits", "train", 0.5, 1.5),
        clip_of(path, "beyond", "train", 1.0, 3.0),
        clip_of(path, "to", "train", None, 2.4),
        clip_of(path, "from", "train", 1.2),
    ]
    found = check_clips(clips)
    alone = AuditRules(duplicates=None)
    assert warnings(judge(found, alone)) == {"beyond": "wrong_length"}
    assert warnings(judge(found, replace(alone, length_tolerance_s=0.3))) == {
        "beyond": "wrong_length", "to": "wrong_length",
    }  # fmt: skip
    assert warnings(judge(found, replace(alone, clip_s=2.0))) == {"beyond": "wrong_length", "from": "wrong_length"}
    (message,) = [w.message for w in judge(found, alone).warnings]
    assert "gives 1.00 s of sound, 2.00 by its times (at most 0.5 apart)" in message


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_clipping_is_a_share_of_samples(tmp_path: Path, subtype: str) -> None:
    tone = np.sin(2 * np.pi * 50 * np.arange(RATE_HZ) / RATE_HZ)
    for gain in (0.99, 1.2, 4.0):
        soundfile.write(tmp_path / f"{gain}.wav", np.clip(gain * tone, -1, 1), RATE_HZ, subtype=subtype)
    report = check_clips([clip_of(tmp_path / f"{gain}.wav", str(gain), "train") for gain in (0.99, 1.2, 4.0)])
    expected = [np.mean(np.abs(gain * tone) >= 1) for gain in (0.99, 1.2, 4.0)]
    np.testing.assert_allclose(report.outcomes.records["clipped_share"], expected, atol=1e-3)
    assert warnings(judge(report, AuditRules())) == {"1.2": "clipped", "4.0": "clipped"}
    assert warnings(judge(report, AuditRules(clipped_share=0.5))) == {"4.0": "clipped"}


@pytest.mark.parametrize(
    ("values", "words"),
    [({"clip_s": 0.0}, "clip_s"), ({"length_tolerance_s": -1.0}, "tolerance"), ({"clipped_share": 2.0}, "0 to 1")],
)
def test_rules_out_of_range(values: dict[str, float], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        AuditRules(**values)
    with pytest.raises(ArgumentError, match="must be one of train"):
        default_sides(["train"], ["eval"])


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    decode_mono = check.decode_mono

    def counted(path: Path, **keywords: float | None):
        names.append(path.name)
        return decode_mono(path, **keywords)

    monkeypatch.setattr(check, "decode_mono", counted)
    return names


def test_a_killed_audit_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = make_clips(tmp_path, 90)
    report, clean = tmp_path / "report.csv", tmp_path / "clean.csv"
    monkeypatch.setattr("audio_dcls.data.audit.journal.FLUSH_CLIPS", 10)

    def audit_and_die() -> None:
        done = 0

        def count(number: int) -> None:
            nonlocal done
            done += number
            if done >= 48:
                os.kill(os.getpid(), signal.SIGKILL)

        audit_clips(clips, report, on_progress=count)

    child = multiprocessing.get_context("fork").Process(target=audit_and_die)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert not report.exists()
    journal = CheckJournal(report).path
    assert len(journal.read_text().split()) >= 40
    with journal.open("a") as stream:
        stream.write('[1, "cut off by the ki')
    names = count_reads(monkeypatch)
    audit_clips(clips, report)
    assert not journal.exists()
    assert len(names) == len(set(names)) <= 50
    audit_clips(clips, clean)
    assert report.read_bytes() == clean.read_bytes()


def test_an_interrupt_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = make_clips(tmp_path, 40)

    def stop(number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit_clips(clips, tmp_path / "report.csv", on_progress=stop)
    names = count_reads(monkeypatch)
    audit_clips(clips, tmp_path / "report.csv")
    assert names == [f"{i}.wav" for i in range(16, 40)]


def test_what_is_no_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "report.csv.journal").write_text(json.dumps({"version": 9}) + "\n")
    with pytest.raises(ManifestError, match=r"report.csv.journal' is not a journal of version 1; delete it"):
        audit_clips(make_clips(tmp_path, 1), tmp_path / "report.csv")


def test_only_new_and_changed_files_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = make_clips(tmp_path, 6)
    first = audit_clips(clips, tmp_path / "report.csv")
    clips.append(clip_of(write(tmp_path, "new.wav", 7), "new", "train"))
    write(tmp_path, "2.wav", 99, 0.5)
    names = count_reads(monkeypatch)
    again = audit_clips(clips, tmp_path / "report.csv")
    assert names == ["2.wav", "new.wav"]
    assert list(again.outcomes)[:2] == list(first.outcomes)[:2]
    assert again.outcomes.duration_s[2] == 0.5


def test_the_hash_of_a_set_is_that_of_a_shell(tmp_path: Path) -> None:
    ids = ["b_10000", "-a_0", "Z_30000", "é"]
    (tmp_path / "ids.txt").write_text("\n".join(ids) + "\n")
    command = "LC_ALL=C sort ids.txt | head -c -1 | sha256sum"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout[:16] == id_hash(ids)
    assert id_hash([]) == hashlib.sha256(b"").hexdigest()[:16]


def test_the_guide_names_every_kind() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    for kind in PROBLEM_KINDS:
        assert f"| `{kind.name}` | {'left out' if kind.is_fault else 'used'} | {kind.meaning} |" in text, kind.name
