"""Training end to end on small sounds: learning, exact resumption, and independence of workers and batches."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import soundfile
import timm
import torch

from audio_dcls.errors import CheckpointError, ConfigError, ManifestError
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint
from audio_dcls.models.checkpoint.folders import MODEL_FILE, STATE_FILE
from audio_dcls.models.checkpoint.tensor_file import load_tensors
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.measure import measure_study
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import TrainingClips, load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.studies.study import train_study
from audio_dcls.training.train_events import (
    CheckpointWritten,
    ClipFailed,
    Evaluated,
    RunFinished,
    RunStarted,
    StepDone,
    TrainEvent,
)
from audio_dcls_cli.screen.progress import show_events


def start(values: dict[str, Any], folder: Path, **changes: Any) -> tuple[TrainConfig, StudyDir, TrainingClips]:
    config = build(TrainConfig, merge(values, changes), "test")
    study = StudyDir(folder)
    if not (folder / "config.yaml").exists():
        study.create(config)
    return config, study, clips_of(config, study)


def clips_of(config: TrainConfig, study: StudyDir) -> TrainingClips:
    manifest = load_manifests(config.data)
    return prepare_clips(config.data, manifest, study.report_path)


def train(values: dict[str, Any], folder: Path, **changes: Any) -> list[TrainEvent]:
    return list(train_study(*start(values, folder, **changes)))


def final_weights(folder: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    return load_tensors(StudyDir(folder).run(seed).newest_checkpoint() / MODEL_FILE)[0]


def assert_equal_bits(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


def test_it_learns_and_says_what_it_did(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    plain = {"mixup_alpha": 0, "label_smoothing": 0, "speed_probability": 0, "erase_probability": 0}
    events = train(tiny_values, tmp_path / "s", augment=plain, loop={"epochs": 12, "prior_bias": True})
    finished = [e for e in events if isinstance(e, RunFinished)]
    losses = [e.loss for e in events if isinstance(e, StepDone)]
    assert len(losses) == 12 * 3
    assert np.mean(losses[-6:]) < 0.8 * np.mean(losses[:3])
    assert finished[0].metrics.mean_average_precision > 0.65  # chance is about 0.4 here
    run = StudyDir(tmp_path / "s").run(0)
    assert run.status()["state"] == "done"
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 37))
    assert sum("eval" in line for line in lines) == sum(isinstance(e, Evaluated) for e in events) == 12
    assert any(run.tensorboard_folder.iterdir())


def test_a_run_cut_at_any_checkpoint_ends_with_the_same_bits(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    train(tiny_values, tmp_path / "whole")
    for event in train_study(*start(tiny_values, tmp_path / "cut")):
        if isinstance(event, CheckpointWritten):
            break
    assert StudyDir(tmp_path / "cut").run(0).status()["state"] == "stopped"
    cut = StudyDir(tmp_path / "cut")
    config = cut.config()
    steps = [e.step for e in train_study(config, cut, clips_of(config, cut)) if isinstance(e, StepDone)]
    assert steps == list(range(4, 10))
    assert_equal_bits(final_weights(tmp_path / "whole"), final_weights(tmp_path / "cut"))
    assert list(train_study(config, cut, clips_of(config, cut))) == []


def test_the_number_of_workers_changes_nothing(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    once = {"loop": {"epochs": 1}}
    train(tiny_values, tmp_path / "none", **once)
    train(tiny_values, tmp_path / "two", **once, data={"num_workers": 2, "cache": "memory"})
    assert_equal_bits(final_weights(tmp_path / "none"), final_weights(tmp_path / "two"))


def test_accumulation_equals_one_large_batch(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    changes = {"model": {"drop_path_rate": 0.0}, "optimizer": {"warmup_epochs": 0}}
    whole = train(tiny_values, tmp_path / "whole", **changes)
    parts = train(tiny_values, tmp_path / "parts", **changes, loop={"per_device_batch": 4})
    pairs = zip(
        (e for e in whole if isinstance(e, StepDone)), (e for e in parts if isinstance(e, StepDone)), strict=True
    )
    for first, second in pairs:
        assert second.loss == pytest.approx(first.loss, abs=1e-5)


def test_seeds_differ_and_each_is_a_run(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    train(tiny_values, tmp_path / "s", seeds=[0, 5], loop={"epochs": 1})
    study = StudyDir(tmp_path / "s")
    assert [run.seed for run in study.runs()] == [0, 5]
    first, second = final_weights(study.path, 0), final_weights(study.path, 5)
    assert any(not torch.equal(first[name], second[name]) for name in first)
    scores = measure_study(study, study.runs())
    assert scores.coverage == 1.0
    assert scores.summary()["mAP"].num_seeds == 2
    rows = (study.run(5).eval_folder / "per_class.csv").read_text().splitlines()
    assert len(rows) == 1 + 3
    assert json.dumps(scores.to_json_dict())


def test_bf16_runs_and_stays_finite(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    events = train(tiny_values, tmp_path / "s", loop={"epochs": 1, "precision": "bf16"})
    assert all(np.isfinite(e.loss) for e in events if isinstance(e, StepDone))


@pytest.mark.parametrize(
    ("has_it", "precision", "is_emulated"), [(False, "bf16", True), (True, "bf16", False), (False, "fp32", False)]
)
def test_emulated_bf16_is_told(
    tiny_values: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    has_it: bool,
    precision: str,
    is_emulated: bool,
) -> None:
    monkeypatch.setattr("audio_dcls.training.loop.has_bf16", lambda _device: has_it)
    events = train(tiny_values, tmp_path / "s", loop={"epochs": 1, "precision": precision})
    show_events(events, StudyDir(tmp_path / "s"))
    assert ("`loop.precision` (=bf16) is many times slower" in capsys.readouterr().out) == is_emulated


def test_bad_clips_are_reported_and_left_out(tiny_values: dict[str, Any], tiny_corpus: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "zero.wav").write_bytes(b"")
    (bad / "text.wav").write_text("this is no sound at all\n" * 50)
    whole = (tiny_corpus / "clip00.wav").read_bytes()
    (bad / "truncated.wav").write_bytes(whole[: len(whole) // 3])
    soundfile.write(bad / "nan.wav", np.full(16_000, np.nan, dtype=np.float32), 16_000, subtype="FLOAT")
    soundfile.write(bad / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(bad / "short.wav", np.ones(100) * 0.1, 16_000)
    names = ["zero", "text", "truncated", "nan", "silent", "short", "missing"]
    rows = [f"{n},{bad / n}.wav,,,/t/low,{'eval' if n == 'zero' else 'train'}" for n in names]
    good = (tiny_corpus / "manifest.csv").read_text().splitlines()
    good = [good[0]] + [line.replace(",clip", f",{tiny_corpus}/clip") for line in good[1:]]
    (tmp_path / "mixed.csv").write_text("\n".join(good + rows) + "\n")
    data = {"manifests": [str(tmp_path / "mixed.csv")]}
    config, study, clips = start(tiny_values, tmp_path / "s", data=data, loop={"epochs": 1})
    reasons = {p.id: p.reason for p in clips.report.problems}
    assert reasons == {
        "zero": "empty",
        "text": "unreadable",
        "truncated": "unreadable",
        "nan": "not_finite",
        "silent": "silent",
        "short": "too_short",
        "missing": "missing",
    }
    assert clips.report.coverage()["train"].num_usable == 24
    events = list(train_study(config, study, clips))
    assert any(isinstance(e, RunFinished) for e in events)
    report = study.report_path.read_text()
    assert all(name in report for name in names)


def test_a_clip_that_vanishes_in_mid_run_is_left_out_and_logged(
    tiny_values: dict[str, Any], tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for source in tiny_corpus.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    data = {"manifests": [str(tmp_path / "manifest.csv")]}
    config, study, clips = start(tiny_values, tmp_path / "s", data=data, loop={"epochs": 2})
    (tmp_path / "clip03.wav").unlink()
    seen = list(train_study(config, study, clips))
    assert sum(e.num_failed_clips for e in seen if isinstance(e, StepDone)) == 2  # once an epoch
    (said,) = [e.problem for e in seen if isinstance(e, ClipFailed)]
    assert (said.id, said.reason) == ("clip03", "missing") and "clip03.wav' does not exist" in said.message
    assert [e.num_failed_clips for e in seen if isinstance(e, RunFinished)] == [1]
    assert study.run(0).status()["failed_train_clips"] == 1
    lines = [json.loads(x) for x in (study.run(0).path / "metrics.jsonl").read_text().splitlines()]
    assert [(x["failed_clip"], x["reason"]) for x in lines if "failed_clip" in x] == [("clip03", "missing")] * 2
    show_events(iter(seen), study)
    printed = capsys.readouterr().out
    assert "clip03 (missing)" in printed and "1 training clip could not be read" in printed


def test_mistakes_in_the_config_are_named(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    def refuse(expected: str, error: type[Exception], **changes: Any) -> None:
        with pytest.raises(error, match=expected):
            train(tiny_values, tmp_path / expected[:8].strip("`"), **changes)

    refuse("multiple of `per_device_batch`", ConfigError, loop={"effective_batch": 9})
    refuse(
        "must divide `loop.per_device_batch`",
        ConfigError,
        augment={"mixup_group_clips": 3},
        loop={"per_device_batch": 4},
    )
    refuse("distinct", ConfigError, seeds=[1, 1])
    refuse("`data.manifests` is empty", ConfigError, data={"manifests": []})
    refuse("no usable clip", ManifestError, data={"train_splits": ["nowhere"]})
    refuse("are both in", ConfigError, data={"train_splits": ["eval"]})


def test_a_checkpoint_is_self_contained_and_shared_tensors_are_stored_once(
    tiny_values: dict[str, Any], tmp_path: Path
) -> None:
    train(tiny_values, tmp_path / "s", loop={"epochs": 1}, model={"overrides": {"depths": [2, 1, 1, 1]}})
    checkpoint = StudyDir(tmp_path / "s").run(0).newest_checkpoint()
    loaded = load_checkpoint(checkpoint / MODEL_FILE)
    assert loaded.labels.names == ("Low", "High", "Noise")
    assert loaded.info["seed"] == 0
    assert loaded.info["versions"]["torch"] == importlib.metadata.version("torch")
    blocks = [m for m in loaded.model.modules() if hasattr(m, "positions")]
    assert blocks[0].positions is blocks[1].positions
    scores = loaded.model(torch.randn(2, 41_600))
    assert scores.shape == (2, 3)
    with pytest.raises(CheckpointError, match="not a model"):
        load_checkpoint(checkpoint / STATE_FILE)
    whole = (checkpoint / MODEL_FILE).read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"half\.safetensors"):
        load_checkpoint(tmp_path / "half.safetensors")


def test_pretrained_weights_are_reported_and_not_asked_for_again(tiny_values: dict[str, Any], tmp_path: Path) -> None:
    stock = timm.create_model("convnext_atto")
    safetensors.torch.save_model(stock, str(tmp_path / "weights.safetensors"))
    model = {"name": "convnext_atto", "pretrained": True, "pretrained_file": str(tmp_path / "weights.safetensors")}
    run = train_study(*start({**tiny_values, "model": model}, tmp_path / "s", loop={"epochs": 2}))
    started = next(run)
    assert isinstance(started, RunStarted)
    assert started.pretrained is not None
    for event in run:
        if isinstance(event, CheckpointWritten):
            break
    report = json.loads((tmp_path / "s/seed-0/pretrained.json").read_text())
    assert report["loaded"]
    assert any("stem" in name for name in report["random"])
    (tmp_path / "weights.safetensors").unlink()
    study = StudyDir(tmp_path / "s")
    config = study.config()
    events = list(train_study(config, study, clips_of(config, study)))
    assert isinstance(events[-1], RunFinished)
    assert load_checkpoint(study.run(0).newest_checkpoint() / MODEL_FILE).labels.names == ("Low", "High", "Noise")
