"""Data sets with one label per clip: cross-entropy, softmax and accuracy from training to tagging."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from audio_dcls.errors import CheckpointError, ManifestError
from audio_dcls.inference import Tagger
from audio_dcls.models.activation import stored_activation
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint
from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.measure import measure_study
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.studies.study import train_study
from audio_dcls_cli.main import app


@pytest.fixture(scope="module")
def single_values(tiny_values: dict[str, Any], tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny corpus with the first label of each clip, under cross-entropy."""
    header, *rows = (tiny_corpus / "manifest.csv").read_text().splitlines()
    manifest = tmp_path_factory.mktemp("single") / "manifest.csv"
    cells = [row.split(",") for row in rows]
    lines = [",".join([c[0], str(tiny_corpus / c[1]), *c[2:4], c[4].split(";")[0], c[5]]) for c in cells]
    manifest.write_text("\n".join([header, *lines]) + "\n")
    changes = {
        "data": {"manifests": [str(manifest)]},
        "loss": {"name": "cross_entropy"},
        "loop": {"epochs": 2, "prior_bias": True},
    }
    return merge(tiny_values, changes)


def train(values: dict[str, Any], folder: Path) -> StudyDir:
    config = build(TrainConfig, values, "test")
    study = StudyDir(folder)
    study.create(config)
    clips = prepare_clips(config.data, load_manifests(config.data), study.report_path)
    list(train_study(config, study, clips))
    return study


@pytest.fixture(scope="module")
def single_study(single_values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    return train(single_values, tmp_path_factory.mktemp("study") / "s")


def test_accuracy_is_logged_measured_and_shown(single_study: StudyDir) -> None:
    run = single_study.run(0)
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    logged = [line["eval"]["accuracy"] for line in lines if "eval" in line]
    assert len(logged) == 2
    assert run.status()["last_evaluation"]["accuracy"] == logged[-1]
    scores = measure_study(single_study, single_study.runs())
    assert scores.summary()["accuracy"].mean == pytest.approx(logged[-1])
    assert scores.runs[0].metrics.mean_average_precision == pytest.approx(lines[-1]["eval"]["mAP"], abs=1e-5)
    shown = CliRunner().invoke(app, ["eval", str(single_study.path)])
    assert shown.exit_code == 0, shown.output
    assert "accuracy" in shown.output
    document = json.loads(CliRunner().invoke(app, ["eval", str(single_study.path), "--json"]).output)
    assert document["runs"][0]["accuracy"] == document["summary"]["accuracy"]["mean"]


def test_tags_of_such_a_model_add_up_to_1(single_study: StudyDir, tiny_corpus: Path) -> None:
    path = single_study.run(0).newest_checkpoint() / MODEL_FILE
    assert load_checkpoint(path).activation == "softmax"
    tagger = Tagger.load(path)
    windows = np.random.default_rng(0).standard_normal((2, tagger.clip_samples), dtype=np.float32)
    with torch.inference_mode():
        expected = load_checkpoint(path).model(torch.from_numpy(windows)).softmax(1)
    np.testing.assert_allclose(tagger.scores(windows), expected.numpy(), rtol=1e-6)
    tags = tagger.tag(tiny_corpus / "clip00.wav", top_k=None).tags
    assert sum(tag.score for tag in tags) == pytest.approx(1.0, abs=1e-5)


def test_another_activation_than_ours_is_refused() -> None:
    assert stored_activation({}, "x") == "sigmoid"
    with pytest.raises(CheckpointError, match="entmax"):
        stored_activation({"activation": "entmax"}, "x")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("/t/low;/t/high", r"exactly one label, but clip 'clip02' .*has 2: Low, High"),
        ("", "a clip needs a label"),
    ],
)
def test_a_clip_without_exactly_one_label_is_named_at_the_start(
    single_values: dict[str, Any], tmp_path: Path, labels: str, said: str
) -> None:
    text = Path(single_values["data"]["manifests"][0]).read_text().splitlines()
    cells = text[3].split(",")
    text[3] = ",".join([*cells[:4], labels, cells[5]])
    (tmp_path / "bad.csv").write_text("\n".join(text) + "\n")
    values = merge(single_values, {"data": {"manifests": [str(tmp_path / "bad.csv")]}})
    with pytest.raises(ManifestError, match=said):
        train(values, tmp_path / "s")
