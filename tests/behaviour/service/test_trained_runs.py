"""The real command on a tiny corpus: stopped, killed and resumed by the service, a run ends with the same weights."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from audio_dcls.errors import ServiceError
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint
from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.models.checkpoint.tensor_file import load_tensors
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.service.runs.launcher import LocalLauncher
from audio_dcls.service.runs.run_service import RunService
from audio_dcls.settings import merge
from tests.service.runs.conftest import MakeService, processes_of, wait_for_state, wait_until

SERVER = [sys.executable, str(Path(__file__).with_name("run_supervisor.py"))]
NUM_STEPS = 120
LOOP = {"epochs": 40, "evaluate_every_epochs": 20, "checkpoint_every_epochs": 10, "loggers": []}
STARTING_S = 120


def weights(folder: str) -> dict[str, torch.Tensor]:
    return load_tensors(StudyDir(folder).run(0).newest_checkpoint() / MODEL_FILE)[0]


def assert_same_weights(first: str, second: str) -> None:
    found, expected = weights(first), weights(second)
    assert found.keys() == expected.keys()
    assert not [name for name in found if not torch.equal(found[name], expected[name])]


def past(service: RunService, run_id: str, step: int) -> None:
    wait_until(lambda: service.get(run_id).seeds[0].step >= step, STARTING_S)


@pytest.fixture
def real_service(make_service: MakeService, tiny_corpus: Path) -> RunService:
    return make_service(launchers={"local": LocalLauncher()}, data_roots=[tiny_corpus], poll_s=0.1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_stopped_and_killed_ends_with_the_weights_of_one_left_alone(
    real_service: RunService, tiny_values: dict[str, Any], state_dir: Path
) -> None:
    service, values = real_service, merge(tiny_values, {"loop": LOOP})
    service.start()
    alone = service.submit(values, name="alone")
    stopped = service.submit(values, name="stopped")
    assert wait_for_state(service, alone.id, "done", timeout_s=STARTING_S).seeds[0].step == NUM_STEPS
    past(service, stopped.id, 20)
    service.stop(stopped.id)
    view = wait_for_state(service, stopped.id, "stopped")
    assert view.seeds[0].state == "stopped" and 20 <= view.seeds[0].step < NUM_STEPS
    made = service.make_model(stopped.id, "half-way")
    assert load_checkpoint(made).info["step"] == view.seeds[0].step
    service.resume(stopped.id)
    past(service, stopped.id, view.seeds[0].step + 10)
    for process in processes_of(state_dir / "runs"):
        os.kill(process.pid, signal.SIGKILL)
    view = wait_for_state(service, stopped.id, "done", timeout_s=STARTING_S)
    assert view.attempts == 3 and view.models == ["half-way"]
    assert_same_weights(stopped.folder, alone.folder)
    wait_until(lambda: service.get(stopped.id).has_per_class, STARTING_S)
    assert [c.name for c in service.per_class(stopped.id).classes] == ["Low", "High", "Noise"]
    assert service.metrics(stopped.id).series[0].eval.step == [60, 120]
    assert "Resuming" in service.log_text(stopped.id)
    with pytest.raises(ServiceError) as caught:
        service.make_model(alone.id, "half-way")
    assert (caught.value.status, caught.value.code) == (409, "name_taken")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_outlives_the_server(real_service: RunService, tiny_values: dict[str, Any], state_dir: Path) -> None:
    service, values = real_service, merge(tiny_values, {"loop": LOOP})
    found, killed = service.submit(values), service.submit(values)
    server = subprocess.Popen([*SERVER, str(state_dir), "real"])
    past(service, found.id, 10)
    server.kill()
    server.wait()
    server = subprocess.Popen([*SERVER, str(state_dir), "real"])  # finds the first, and starts the second
    past(service, killed.id, 10)
    server.kill()
    for process in processes_of(state_dir / "runs"):
        process.kill()
    server.wait()
    assert (service.get(found.id).state, service.get(found.id).attempts) == ("done", 1)
    service.start()
    assert wait_for_state(service, killed.id, "done", timeout_s=STARTING_S).attempts == 2
    assert_same_weights(killed.folder, found.folder)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_mistake_only_training_finds_fails_the_run(
    real_service: RunService, tiny_values: dict[str, Any], tiny_corpus: Path, tmp_path: Path
) -> None:
    service = real_service
    service.start()
    run = service.submit(merge(tiny_values, {"data": {"eval_splits": ["test"]}}))
    view = wait_for_state(service, run.id, "failed", timeout_s=STARTING_S)
    assert view.error is not None and view.error.startswith("no usable clip for `data.eval_splits` (=['test'])")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_of_cases_is_trained_and_measured(
    make_service: MakeService, tiny_values: dict[str, Any], tiny_corpus: Path, tmp_path: Path
) -> None:
    import yaml

    configs = tmp_path / "configs"
    configs.mkdir()
    values = merge(tiny_values, {"loop": {"epochs": 2, "loggers": []}})
    (configs / "tiny.yaml").write_text(yaml.safe_dump(values))
    service = make_service(launchers={"local": LocalLauncher()}, data_roots=[tiny_corpus], config_dirs=[configs])
    service.start()
    cases = {"plain": {"config": "tiny.yaml", "set": {"model": {"dcls": None}}}, "dcls": {"config": "tiny.yaml"}}
    run = service.submit({"name": "two", "seeds": [0], "cases": cases})
    view = wait_for_state(service, run.id, "done", timeout_s=STARTING_S)
    assert [(s.case, s.state, s.step) for s in view.seeds] == [("plain", "done", 6), ("dcls", "done", 6)]
    wait_until(lambda: set(service.per_class(run.id).classes[0].seeds if service.per_class(run.id).classes else ()) ==
               {"plain/0", "dcls/0"}, STARTING_S)  # fmt: skip
    assert service.make_model(run.id, "of-dcls", case="dcls").is_file()
    assert service.get(run.id).models == ["of-dcls"]
    shutil.rmtree(configs)
    assert service.get(run.id).progress == 1.0
