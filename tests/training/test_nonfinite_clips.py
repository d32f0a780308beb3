"""If the loss of a step is not finite, the report names the clip, and the run stops or skips the step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from audio_dcls.data.loading.sampler import epoch_permutation
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.errors import RunError
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.studies.study import train_study
from audio_dcls.training.train_events import RunFinished, StepDone, StepSkipped

STEP = 7


def poisoned(values: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, **loop: Any) -> tuple[Any, str]:
    """A training, and the id of a clip of its seventh step that turns out to be not finite."""
    config = build(TrainConfig, merge(values, {"loop": loop}), "test")
    study = StudyDir(folder)
    study.create(config)
    clips = prepare_clips(config.data, load_manifests(config.data), study.report_path)
    batch = config.loop.effective_batch
    epoch, place = divmod(STEP - 1, len(clips.train) // batch)
    index = int(epoch_permutation(len(clips.train), 0, epoch)[place * batch + 3])
    load = ClipDataset.__getitem__

    def load_poisoned(dataset: ClipDataset, key: tuple[int, int]) -> Any:
        sample: Any = load(dataset, key)
        if dataset.augmentation is not None and key == (epoch, index):
            sample["waveform"] = torch.full_like(sample["waveform"], torch.nan)
        return sample

    monkeypatch.setattr(ClipDataset, "__getitem__", load_poisoned)
    return train_study(config, study, clips), clips.train[index].id


@pytest.mark.parametrize("name", ["convnext_atto", "fastvit_t8"])
def test_the_clip_is_named_and_the_run_stops(
    name: str, tiny_values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = merge(tiny_values, {"model": {"name": name, "layer_scale_init": None}})
    training, clip_id = poisoned(values, tmp_path / "s", monkeypatch)
    with pytest.raises(RunError, match=rf"step 7 .* not finite; clip '{clip_id}' .*its waveform is not finite; the"):
        list(training)
    run = StudyDir(tmp_path / "s").run(0)
    report = json.loads(run.nonfinite_path(STEP).read_text())
    assert [clip["id"] for clip in report["found"]] == [clip_id]
    assert len(report["clips"]) == values["loop"]["effective_batch"]
    assert run.status()["state"] == "failed"


@pytest.mark.parametrize("name", ["convnext_atto", "fastvit_t8"])
def test_the_step_is_left_out_and_counted(
    name: str, tiny_values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = merge(tiny_values, {"model": {"name": name, "layer_scale_init": None}})
    training, _ = poisoned(values, tmp_path / "s", monkeypatch, nonfinite="skip")
    events = list(training)
    assert [event.step for event in events if isinstance(event, StepSkipped)] == [STEP]
    losses = [event.loss for event in events if isinstance(event, StepDone) and event.step != STEP]
    assert all(torch.tensor(losses).isfinite())
    assert isinstance(events[-1], RunFinished)
    assert StudyDir(tmp_path / "s").run(0).status()["skipped_steps"] == 1
