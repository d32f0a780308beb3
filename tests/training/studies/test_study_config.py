"""Study files: cases, seeds, the order of the runs, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audio_dcls.errors import ConfigError
from audio_dcls.training.studies.study_config import load_study
from tests.training.studies.conftest import write_study


def test_the_papers_study_is_three_pairs_over_three_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the file that is shipped is found from anywhere
    plan = load_study("configs/paper/study.yaml", ["loop.epochs=7"])
    assert plan.seeds == (0, 1, 2)
    assert len(plan.runs()) == 18
    assert {name: case.baseline for name, case in plan.cases.items() if case.baseline} == {
        "convnext_tiny-dcls": "convnext_tiny",
        "fastvit_sa24-dcls": "fastvit_sa24",
        "convformer_s18-dcls": "convformer_s18",
    }
    for name, case in plan.cases.items():
        assert (case.config.model.dcls is None) == (case.baseline is None)
        assert case.config.model.name == name.removesuffix("-dcls")
        assert case.config.loop.epochs == 7
        assert (case.config.name, case.config.seeds) == ("paper", (0, 1, 2))


def test_runs_are_ordered_so_that_cases_can_be_compared_early(study_file: Path) -> None:
    plan = load_study(study_file)
    assert plan.runs() == [("plain", 0), ("swapped", 0), ("plain", 1), ("swapped", 1)]
    assert plan.runs(["case=swapped"]) == [("swapped", 0), ("swapped", 1)]
    assert plan.runs(["seed=1", "case=plain,seed=0"]) == [("plain", 0), ("plain", 1), ("swapped", 1)]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("case=swaped", "did you mean 'swapped'?"),
        ("case=zzz", "its cases are plain, swapped"),
        ("seed=7", r"its seeds are \[0, 1\]"),
        ("case=plain,seed=x", "no seed 'x'"),
        ("plain", "must have the form case=NAME,seed=NUMBER"),
        ("case=plain,case=swapped", "must have the form"),
    ],
)
def test_a_wrong_choice_is_named(study_file: Path, only: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        load_study(study_file).runs([only])


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ({"a": {"baseline": "b"}}, "baseline.*must be another case: there is no other"),
        ({"a": {"baseline": "a"}, "b": {}}, "must be another case: b"),
        ({"table": {}}, "must have another name"),
        ({"a/b": {}}, "pattern"),
        ({"a": {"basline": "b"}}, "did you mean 'baseline'?"),
        ({"a": {"set": {"loop": {"epoch": 3}}}}, "case 'a'.*did you mean 'epochs'?"),
        ({"a": {"set": {"seeds": [3]}}}, "`set.seeds` must be left out"),
        ({"a": {"config": "nowhere.yaml"}}, "nowhere.yaml"),
        ({"a": {}, "b": {"set": {"data": {"eval_splits": ["train"]}}}}, "same `data.eval_splits`.*case 'b'.*case 'a'"),
        ({"a": {}, "b": {"set": {"loop": {"precision": "bf16"}}}}, "same `loop.precision`"),
        ({}, "cases"),
    ],
)
def test_a_study_file_that_is_wrong_is_refused(
    study_file: Path, cases: dict[str, dict[str, Any]], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        load_study(write_study(study_file.parent, **cases))


def test_name_and_seeds_can_be_set_for_the_study(study_file: Path) -> None:
    plan = load_study(study_file, ["seeds=[5]", "name=other"])
    assert (plan.name, plan.runs()) == ("other", [("plain", 5), ("swapped", 5)])
    with pytest.raises(ConfigError, match="distinct"):
        load_study(study_file, ["seeds=[5,5]"])
