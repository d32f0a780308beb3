"""Studies of several cases: plans, folders that two jobs make at once, locks, and runs that fail."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from audio_dcls.errors import ArgumentError, AudioDclsError, ConfigError, RunError
from audio_dcls.evaluation.study_table import Speed
from audio_dcls.labels import LabelSet
from audio_dcls.runs.locks import try_lock, wait_for_lock
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from audio_dcls.training.distributed.processes import build_fabric
from audio_dcls.training.studies import case_study
from audio_dcls.training.studies.case_study import CaseRunBegins, CaseRunBusy, CaseRunFailed, CaseStudyDir, train_cases
from audio_dcls.training.studies.costs import SpeedSettings, count_costs, measure_speed
from audio_dcls.training.studies.results import study_table
from audio_dcls.training.studies.study_config import StudyPlan, load_study

HOLD_LOCK = """
import os, sys, time
from pathlib import Path
from audio_dcls.runs.locks import try_lock
with try_lock(Path(sys.argv[1])) as held:
    if os.fork() == 0:  # a worker that outlives it
        os.close(1)
        time.sleep(20)
        os._exit(0)
    print(held, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def study_file(tiny_values: dict[str, Any], tmp_path: Path) -> Path:
    """Two cases of the tiny config, without DCLS and with it, on two seeds."""
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_values))
    return write_study(tmp_path, plain={"set": {"model": {"dcls": None}}}, swapped={"baseline": "plain"})


def write_study(folder: Path, **cases: dict[str, Any]) -> Path:
    document = {
        "name": "duel",
        "seeds": [0, 1],
        "set": {"loop": {"epochs": 1}},
        "cases": {name: {"config": "tiny.yaml", **case} for name, case in cases.items()},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def prepared(plan: StudyPlan, study: CaseStudyDir) -> Any:
    study.create(plan)
    data = plan.shared.data
    clips = prepare_clips(data, load_manifests(data), study.report_path)
    study.write_labels(clips.labels)
    return clips


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


def test_the_folder_holds_the_plan_and_goes_on_under_other_circumstances(study_file: Path, tmp_path: Path) -> None:
    plan, study = load_study(study_file), CaseStudyDir(tmp_path / "out")
    study.create(plan)
    study.create(plan)
    assert study.plan() == plan
    assert study.case("swapped").config() == plan.cases["swapped"].config
    assert study.state("plain", 0) == "to do"
    study.check_plan(load_study(study_file, ["data.num_workers=3"]))
    assert study.plan().override_resumable_keys(["data.num_workers=3"]).shared.data.num_workers == 3
    with pytest.raises(ConfigError, match="would change what is trained"):
        study.plan().override_resumable_keys(["loop.epochs=3"])
    with pytest.raises(RunError, match=r"differs in cases\.plain\.loop\.epochs.*--resume"):
        study.create(load_study(study_file, ["loop.epochs=3"]))


def test_other_folders_are_left_alone(study_file: Path, tmp_path: Path) -> None:
    plan = load_study(study_file)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "note.txt").write_text("mine")
    with pytest.raises(RunError, match="something other"):
        CaseStudyDir(tmp_path / "other").create(plan)
    with pytest.raises(RunError, match="something other"):
        CaseStudyDir(tmp_path / "other" / "note.txt").create(plan)
    with pytest.raises(RunError, match=r"no study\.yaml"):
        CaseStudyDir(tmp_path / "other").plan()


def test_jobs_that_start_at_once_make_one_study(study_file: Path, tmp_path: Path) -> None:
    plans = [load_study(study_file), load_study(study_file, ["loop.epochs=2"])]
    outcomes: list[tuple[int, str]] = []
    start = threading.Barrier(6)

    def create(index: int) -> None:
        start.wait()
        try:
            CaseStudyDir(tmp_path / "out").create(plans[index % 2])
            outcomes.append((index % 2, "made"))
        except AudioDclsError as error:
            outcomes.append((index % 2, str(error)))

    threads = [threading.Thread(target=create, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winner = plans.index(CaseStudyDir(tmp_path / "out").plan())
    assert len(outcomes) == 6
    assert all((text == "made") == (index == winner) for index, text in outcomes)
    assert all("another plan" in text for index, text in outcomes if index != winner)


def test_a_run_at_which_another_process_works_is_left_to_it(study_file: Path, tmp_path: Path) -> None:
    plan, study = load_study(study_file), CaseStudyDir(tmp_path / "out")
    clips = prepared(plan, study)
    lock = study.run_lock_path("plain", 0)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == "True"
    try:
        runs = plan.runs(["seed=0"])
        found = list(train_cases(plan, study, runs, clips, build_fabric(plan.shared.loop)))
    finally:
        holder.kill()
        holder.communicate()
    assert found[0] == CaseRunBusy("plain", 0)
    assert found[1] == CaseRunBegins("swapped", 0, 2, 2)
    assert (study.state("plain", 0), study.state("swapped", 0)) == ("to do", "done")
    with try_lock(lock) as held:  # the lock has ended with its process
        assert held


def test_who_waits_for_a_lock_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    with wait_for_lock(tmp_path / "lock", lambda: told.append("a")):
        assert told == []
        with try_lock(tmp_path / "lock") as held:
            assert not held


def test_a_failed_run_does_not_keep_the_others(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, study = load_study(study_file), CaseStudyDir(tmp_path / "out")
    study.create(plan)

    def train(config: Any, folder: Any, *_: Any) -> Any:
        (seed,) = config.seeds
        failed = folder.path.name == "plain"
        folder.run(seed).write_status(state="failed" if failed else "done", last_evaluation={"mAP": 0.5})
        if failed:
            raise RunError("the loss is not finite")
        yield from ()

    monkeypatch.setattr(case_study, "train_study", train)
    found = list(train_cases(plan, study, plan.runs(), Any, build_fabric(plan.shared.loop)))
    assert [type(event) for event in found] == [CaseRunBegins, CaseRunFailed, CaseRunBegins] * 2
    study.write_labels(LabelSet.from_csv(plan.shared.data.labels))
    table = study_table(study)
    assert [(run.case, run.seed, run.state) for run in table.missing] == [
        ("plain", 0, "failed"),
        ("plain", 1, "failed"),
    ]
    assert table.missing[0].command == f"audio-dcls study --resume {study.path} --only case=plain,seed=0"
    assert table.row("swapped").difference is None


def test_a_damaged_status_is_named(study_file: Path, tmp_path: Path) -> None:
    plan, study = load_study(study_file), CaseStudyDir(tmp_path / "out")
    study.create(plan)
    with pytest.raises(RunError, match=r"no run of study.*was started"):
        study_table(study)
    study.write_labels(LabelSet.from_csv(plan.shared.data.labels))
    for text in ("{", json.dumps({"state": "done"}), json.dumps({"state": "done", "last_evaluation": None})):
        study.run("plain", 1).path.mkdir(exist_ok=True)
        (study.run("plain", 1).path / "status.json").write_text(text)
        with pytest.raises(RunError, match=r"seed-1/status\.json.*--only case=plain,seed=1"):
            study_table(study)


def test_costs_are_those_of_one_clip(study_file: Path) -> None:
    plan = load_study(study_file)
    plain, swapped = (count_costs(case.config, 3) for case in plan.cases.values())
    assert plain[1] == swapped[1] > 1e5  # 7x7 dense taps both: the same multiplications, of fewer parameters
    assert swapped[0] < plain[0]


def test_speed_is_of_every_case(study_file: Path) -> None:
    plan = load_study(study_file)
    speeds, machine = measure_speed(plan, 3, SpeedSettings(batch=2, num_rounds=1, device="cpu"))
    assert list(speeds) == ["plain", "swapped"]
    assert all(isinstance(speed, Speed) and min(speed.inference, speed.train) > 0 for speed in speeds.values())
    assert machine["batch"] == 2
    with pytest.raises(ArgumentError, match="num_rounds"):
        SpeedSettings(num_rounds=0)
    with pytest.raises(ArgumentError, match="device"):
        SpeedSettings(device="tpu")
