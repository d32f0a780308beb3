"""Which splits a fold trains and measures on, and what it refuses."""

from __future__ import annotations

import pytest

from audio_dcls.data.config import DataConfig
from audio_dcls.data.table.folds import fold_numbers, hold_out
from audio_dcls.errors import ConfigError
from audio_dcls.settings import build

FOLDS = ["fold1", "fold2", "fold10", "extra"]


def test_one_fold_is_held_out_and_only_folds_are_trained_on() -> None:
    config = DataConfig(fold=2)
    assert config.split_names(FOLDS, "x.csv") == (("fold1", "fold10"), ("fold2",))
    assert config.measured_splits() == ("fold2",)
    assert fold_numbers(["fold01", "Fold1", "fold", "fold-1", "fold0"]) == [0]


def test_every_clip_is_measured_once_over_all_folds() -> None:
    measured = [DataConfig(fold=n).split_names(FOLDS, "x.csv").eval for n in fold_numbers(FOLDS)]
    assert measured == [("fold1",), ("fold2",), ("fold10",)]


def test_without_a_fold_the_splits_are_those_named() -> None:
    config = DataConfig(train_splits=("a",), eval_splits=("b", "c"))
    assert config.split_names([], "x.csv") == (("a",), ("b", "c"))
    assert config.measured_splits() == ("b", "c")


@pytest.mark.parametrize(
    ("fold", "splits", "words"),
    [
        (3, FOLDS, ["`data.fold` (=3)", "'x.csv'", "[1, 2, 10]"]),
        (1, ["train", "eval"], ["`data.fold` (=1)", "'train', 'eval'", "leave `data.fold` out"]),
        (1, ["fold1", "train"], ["`data.fold` (=1)", "only fold", "at least one more"]),
    ],
)
def test_a_fold_that_cannot_be_held_out(fold: int, splits: list[str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        hold_out(fold, splits, "x.csv")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"fold": 1, "train_splits": ["fold2"]}, ["`train_splits` (=['fold2'])", "left at ['train']", "`fold` (=1)"]),
        ({"fold": 1, "eval_splits": ["test"]}, ["`eval_splits` (=['test'])", "left at ['eval']"]),
        ({"fold": 1, "demo_folder": "demo"}, ["`fold` (=1)", "demo corpus"]),
        ({"fold": -1}, ["fold", "-1"]),
    ],
)
def test_a_config_that_says_it_twice(values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        build(DataConfig, values, "config 'x.yaml'")
    for word in words:
        assert word in str(caught.value)
