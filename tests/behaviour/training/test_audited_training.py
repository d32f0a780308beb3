"""A corpus with planted faults of every kind: the audit finds exactly these, and training uses the other clips."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from audio_dcls.data.audit.audit import audit_clips
from audio_dcls.data.audit.report import ClipReport
from audio_dcls.data.audit.rules import AuditRules, default_sides
from audio_dcls.data.demo import write_demo_corpus
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.data.manifest_reader import load_manifest
from audio_dcls.evaluation import id_hash
from audio_dcls.labels import LabelSet
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.measure import measure_study
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.studies.study import train_study

WARNINGS = ("clipped", "wrong_length", "duplicate")
FAULTS = ("missing", "empty", "unreadable", "not_finite", "too_short", "silent", "out_of_range", "changed", "leaked")
KINDS = (*FAULTS, *WARNINGS)
COLUMNS = ("id", "path", "start_s", "end_s", "labels", "split", "sha256")
ANOTHER_SHA256 = hashlib.sha256(b"another file").hexdigest()


@dataclass
class Planted:
    """A corpus whose faults are known."""

    manifest: Path
    labels: Path
    kinds: dict[str, str] = field(default_factory=dict)
    """Kind of each clip that something is wrong with, by its id."""
    ids: dict[str, set[str]] = field(default_factory=dict)
    """All clips of each split."""

    def of_split(self, split: str, without: tuple[str, ...]) -> set[str]:
        """Clips of a split that are not of these kinds."""
        return {clip_id for clip_id in self.ids[split] if self.kinds.get(clip_id) not in without}


def plant(manifest: Path, labels: Path, per_kind: int, rng: np.random.Generator) -> Planted:
    """Spoil clips of a corpus in place: `per_kind` of each kind, drawn at random."""
    with manifest.open(newline="") as stream:
        rows = {row["id"]: {**dict.fromkeys(COLUMNS, ""), **row} for row in csv.DictReader(stream)}
    planted = Planted(manifest, labels)
    for row in rows.values():
        planted.ids.setdefault(row["split"], set()).add(row["id"])
    order = [list(rows)[place] for place in rng.permutation(len(rows))]
    train = [clip_id for clip_id in order if rows[clip_id]["split"] == "train"]
    leaking = train[:per_kind]
    doubled = set(train[per_kind : 2 * per_kind])
    chosen = [clip_id for clip_id in order if clip_id not in leaking][: per_kind * (len(KINDS) - 2)]
    chosen = [clip_id for clip_id in chosen if clip_id not in doubled]
    chosen += [clip_id for clip_id in order if clip_id not in {*chosen, *leaking, *doubled}]
    kinds = [kind for kind in KINDS if kind not in ("leaked", "duplicate") for _ in range(per_kind)]
    planted.kinds = dict(zip(chosen, kinds, strict=False))
    planted.kinds |= dict.fromkeys(leaking, "leaked") | dict.fromkeys(doubled, "duplicate")
    places = {clip_id: place for place, clip_id in enumerate(rows)}
    good = [clip_id for clip_id in rows if clip_id not in planted.kinds]
    good_eval = [clip_id for clip_id in good if rows[clip_id]["split"] == "eval"]
    good_train = [clip_id for clip_id in good if rows[clip_id]["split"] == "train"]
    for number, (clip_id, kind) in enumerate(sorted(planted.kinds.items())):
        source = None
        if kind == "leaked":
            source = manifest.parent / rows[good_eval[number % len(good_eval)]]["path"]
        elif kind == "duplicate":
            first = next(other for other in good_train[number % len(good_train) :: -1] + good_train)
            if places[first] > places[clip_id]:  # the first one stays: let it be the one that was good
                first = good_train[0]
            if places[first] > places[clip_id]:
                planted.kinds[first] = planted.kinds.pop(clip_id)
            source = manifest.parent / rows[first]["path"]
        spoil(rows[clip_id], kind, manifest.parent, number, source)
    with manifest.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows.values())
    return planted


def spoil(row: dict[str, str], kind: str, folder: Path, number: int, source: Path | None) -> None:
    """Make one clip faulty."""
    path = folder / row["path"]
    sound, rate_hz = soundfile.read(path, dtype="float32")
    if source is not None:
        copy = path.with_suffix(source.suffix)
        path.unlink()
        shutil.copyfile(source, copy)
        row["path"] = str(copy.relative_to(folder))
    elif kind == "missing":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "unreadable":
        content = (b"<html>403 Forbidden</html>", path.read_bytes()[:30], b"\xff" * 5000)[number % 3]
        path.write_bytes(content)
    elif kind == "out_of_range":
        row["start_s"] = f"{len(sound) / rate_hz + 5:.3f}"
    elif kind == "changed":
        row["sha256"] = ANOTHER_SHA256
    elif kind == "wrong_length":
        row["start_s"], row["end_s"] = "0", f"{len(sound) / rate_hz + 2:.3f}"
    else:
        row["path"] = str(Path(row["path"]).with_suffix(".wav"))
        path.unlink()
        soundfile.write(folder / row["path"], spoilt_sound(sound, kind, rate_hz, number), rate_hz, subtype="FLOAT")


def spoilt_sound(sound: np.ndarray, kind: str, rate_hz: int, number: int) -> np.ndarray:
    """Samples that are wrong."""
    if kind == "not_finite":
        sound[len(sound) // 2] = (np.nan, np.inf, -np.inf)[number % 3]
    elif kind == "too_short":
        sound = sound[: round(0.05 * rate_hz)]
    elif kind == "silent":
        sound[:] = (0.0, 0.25)[number % 2]
    elif kind == "clipped":
        sound = np.clip(sound * 10 / np.abs(sound).max(), -1, 1)
    return sound


def small_corpus(folder: Path, num_train: int, num_eval: int) -> tuple[Path, Path]:
    """Half-second clips of noise, each its own, in three containers."""
    folder.mkdir()
    (folder / "labels.csv").write_text("index,mid,display_name\n0,/t/a,A\n1,/t/b,B\n")
    rows = ["id,path,start_s,end_s,labels,split"]
    for index in range(num_train + num_eval):
        name = f"clip{index:03d}{('.wav', '.flac', '.ogg')[index % 3]}"
        noise = 0.1 * np.random.default_rng(index).standard_normal((8000, 1 + index % 2))
        soundfile.write(folder / name, noise, 16_000)
        labels = ("/t/a", "/t/b", "/t/a;/t/b")[index % 3]
        rows.append(f"clip{index:03d},{name},,,{labels},{'train' if index < num_train else 'eval'}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder / "manifest.csv", folder / "labels.csv"


def audit(planted: Planted, report: Path, num_workers: int, **rules: Any) -> ClipReport:
    manifest = load_manifest(planted.manifest, LabelSet.from_csv(planted.labels))
    rules = {"sides": default_sides(list(manifest.splits())), **rules}
    return audit_clips(manifest.clips, report, rules=AuditRules(**rules), num_workers=num_workers)


def check_that_every_fault_is_found(planted: Planted, folder: Path) -> None:
    report = audit(planted, folder / "kept.csv", num_workers=2)
    assert {p.id: p.reason for p in report.problems} == {i: k for i, k in planted.kinds.items() if k in FAULTS}
    assert [(w.id, w.reason) for w in report.warnings] == [
        (clip.id, planted.kinds[clip.id]) for clip in report.clips if planted.kinds.get(clip.id) in WARNINGS
    ]
    dropped = audit(planted, folder / "dropped.csv", num_workers=0, duplicates="drop")
    left_out = (*FAULTS, "duplicate")
    assert {p.id: p.reason for p in dropped.problems} == {i: k for i, k in planted.kinds.items() if k in left_out}


@pytest.fixture
def planted_small(tmp_path: Path) -> Planted:
    """60 clips to train on and 30 to measure on, three of each kind spoilt."""
    manifest, labels = small_corpus(tmp_path / "corpus", 60, 30)
    return plant(manifest, labels, 3, np.random.default_rng(0))


def test_every_fault_is_found_by_kind_and_nothing_else(planted_small: Planted, tmp_path: Path) -> None:
    assert sorted(planted_small.kinds.values()) == sorted(KINDS * 3)
    check_that_every_fault_is_found(planted_small, tmp_path)


def config_for(planted: Planted, tiny_values: dict[str, Any], **changes: Any) -> TrainConfig:
    data = {"manifests": [str(planted.manifest)], "labels": str(planted.labels), "duplicates": "drop"}
    return build(TrainConfig, merge(tiny_values, {"data": data, "loop": {"epochs": 1}, **changes}), "test")


def count_decoded(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Ids of the clips that datasets give out from now on."""
    seen: set[str] = set()
    get: Callable[..., Any] = ClipDataset.__getitem__

    def counted(self: ClipDataset, item: tuple[int, int]) -> Any:
        sample = get(self, item)
        assert "failure" not in sample
        seen.add(self.clips[item[1]].id)
        return sample

    monkeypatch.setattr(ClipDataset, "__getitem__", counted)
    return seen


def test_training_uses_exactly_the_good_ones(
    planted_small: Planted, tiny_values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(planted_small, tiny_values)
    study = StudyDir(tmp_path / "study")
    study.create(config)
    clips = prepare_clips(config.data, load_manifests(config.data), study.report_path)
    left_out = (*FAULTS, "duplicate")
    good = {split: planted_small.of_split(split, left_out) for split in ("train", "eval")}
    assert set(clips.train.ids) == good["train"]
    assert set(clips.eval.ids) == good["eval"]
    seen = count_decoded(monkeypatch)
    events = list(train_study(config, study, clips))
    num_steps = len(good["train"]) // config.loop.effective_batch
    assert len(seen & good["train"]) >= num_steps * config.loop.effective_batch
    assert seen <= good["train"] | good["eval"]
    assert good["eval"] <= seen
    assert events[-1].metrics.clip_id_hash == id_hash(good["eval"])
    scores = measure_study(study, [study.run(0)])
    assert (scores.id_hash, scores.notes) == (id_hash(good["eval"]), ())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_thousand_clips_with_three_hundred_faults(
    tiny_values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_demo_corpus(tmp_path / "demo", num_train=2400, num_eval=600)
    planted = plant(corpus.manifest, corpus.labels, 25, np.random.default_rng(1))
    assert sorted(planted.kinds.values()) == sorted(KINDS * 25)
    check_that_every_fault_is_found(planted, tmp_path)
    config = config_for(planted, tiny_values)
    study = StudyDir(tmp_path / "study")
    study.create(config)
    shutil.copyfile(tmp_path / "dropped.csv", study.report_path)
    clips = prepare_clips(config.data, load_manifests(config.data), study.report_path)
    left_out = (*FAULTS, "duplicate")
    good = {split: planted.of_split(split, left_out) for split in ("train", "eval")}
    assert set(clips.train.ids) == good["train"]
    assert set(clips.eval.ids) == good["eval"]
    seen = count_decoded(monkeypatch)
    list(train_study(config, study, clips))
    assert seen <= good["train"] | good["eval"]
    assert good["eval"] <= seen
    assert len(good["train"] - seen) < config.loop.effective_batch
