"""Studies of several cases: folders that two jobs create at once, locks, and runs that fail."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from audio_dcls.errors import AudioDclsError, ConfigError, RunError
from audio_dcls.labels import LabelSet
from audio_dcls.runs.locks import try_lock
from audio_dcls.training.distributed.processes import build_fabric
from audio_dcls.training.studies import case_study
from audio_dcls.training.studies.case_study import CaseRunBegins, CaseRunBusy, CaseRunFailed, CaseStudyDir, train_cases
from audio_dcls.training.studies.results import study_table
from audio_dcls.training.studies.study_config import load_study
from tests.training.studies.conftest import prepared

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


def test_a_study_that_another_process_begins_at_the_same_moment_is_not_a_foreign_folder(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    list_folder = Path.iterdir

    def list_after_another_began(folder: Path) -> Any:
        if folder == tmp_path / "out":
            (folder / case_study.LOCKS_FOLDER).mkdir(exist_ok=True)
        return list_folder(folder)

    monkeypatch.setattr(Path, "iterdir", list_after_another_began)
    plan = load_study(study_file)
    CaseStudyDir(tmp_path / "out").create(plan)
    assert CaseStudyDir(tmp_path / "out").plan() == plan


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
