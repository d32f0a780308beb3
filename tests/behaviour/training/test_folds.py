"""A study on one fold trains on the other folds and is evaluated on that fold."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from audio_dcls.errors import ConfigError, EvaluationError
from audio_dcls.evaluation import id_hash
from audio_dcls.labels import LabelSet
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.measure import MeasureOptions, measure_study
from audio_dcls.runs.scores import RunScores, StudyScores, over_folds
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.settings import build, merge
from audio_dcls.training.studies.study import train_study


@pytest.fixture
def folded(tiny_values: dict[str, Any], tiny_corpus: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """Configs on the tiny corpus with a fold in place of each split: three of twelve clips."""
    with (tiny_corpus / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    lines = [
        f"{row['id']},{tiny_corpus / row['path']},,,{row['labels']},fold{number % 3 + 1}"
        for number, row in enumerate(rows)
    ]
    (tmp_path / "folds.csv").write_text("\n".join(["id,path,start_s,end_s,labels,split", *lines]) + "\n")

    def config(**data: Any) -> TrainConfig:
        changes = {"data": {"manifests": [str(tmp_path / "folds.csv")], **data}, "loop": {"epochs": 1}}
        return build(TrainConfig, merge(tiny_values, changes), "test")

    return config


def prepare(config: TrainConfig, folder: Path):
    return prepare_clips(config.data, load_manifests(config.data), folder / "clips.csv")


def test_each_fold_is_measured_once(folded: Callable[..., TrainConfig], tmp_path: Path) -> None:
    measured: list[str] = []
    for fold in (1, 2, 3):
        clips = prepare(folded(fold=fold), tmp_path)
        train, held_out = ({clip.id for clip in side} for side in (clips.train, clips.eval))
        assert (len(train), len(held_out)) == (24, 12)
        assert not train & held_out
        measured += held_out
    assert len(set(measured)) == 36


def test_a_study_on_a_fold_is_measured_on_it(
    folded: Callable[..., TrainConfig], tiny_corpus: Path, tmp_path: Path
) -> None:
    config = folded(fold=2)
    study = StudyDir(tmp_path / "study")
    study.create(config)
    clips = prepare(config, tmp_path)
    list(train_study(config, study, clips))
    runs = [study.run(0)]
    scores = measure_study(study, runs)
    assert (scores.num_listed, scores.num_evaluated) == (12, 12)
    assert scores.id_hash == id_hash(clip.id for clip in clips.eval)
    assert scores.fold == scores.to_json_dict()["fold"] == 2
    assert measure_study(study, runs, MeasureOptions(splits=("fold2",))).fold is None
    assert measure_study(study, runs, MeasureOptions(splits=("fold1", "fold3"))).num_listed == 24
    with pytest.raises(EvaluationError, match=r"no clip of split \['fold2'\].* name one by --split"):
        measure_study(study, runs, MeasureOptions(manifest=tiny_corpus / "manifest.csv"))


def test_a_fold_that_is_not_there_is_named(folded: Callable[..., TrainConfig], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`data.fold` \(=4\).*\[1, 2, 3\]"):
        prepare(folded(fold=4), tmp_path)
    with pytest.raises(ConfigError, match=r"`train_splits` \(=\['fold1'\]\) must be left at \['train'\]"):
        folded(fold=2, train_splits=["fold1"])


def scores_on(fold: int | None, *values: float) -> StudyScores:
    """Scores of a study with a seed for each mAP."""
    metrics = (SimpleNamespace(scores={"mAP": value}) for value in values)
    runs = tuple(RunScores(seed, Path(), Path(), cast(Any, each)) for seed, each in enumerate(metrics))
    return StudyScores(Path(), LabelSet(("a",), ("A",)), runs, 12, 12, "", fold)


def test_the_mean_over_folds_is_of_each_folds_mean_over_seeds() -> None:
    over = over_folds([scores_on(1, 0.2, 0.4), scores_on(2, 0.5), scores_on(3, 0.7)])
    assert over is not None
    assert over["mAP"].mean == pytest.approx(np.mean([0.3, 0.5, 0.7]))
    assert over["mAP"].std == pytest.approx(np.std([0.3, 0.5, 0.7], ddof=1))


@pytest.mark.parametrize("folds", [(1,), (1, 1), (1, None), ()])
def test_studies_that_are_no_set_of_folds_have_no_mean_over_them(folds: tuple[int | None, ...]) -> None:
    assert over_folds([scores_on(fold, 0.5) for fold in folds]) is None
