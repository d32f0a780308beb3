"""After the supervisor is killed, its runs are found again or resumed, and no entry is lost or doubled."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from audio_dcls.service.runs.launcher import log_path
from audio_dcls.service.runs.run_service import RunService
from tests.service.runs.conftest import (
    MakeService,
    fake_config,
    hold,
    processes_of,
    wait_for_state,
    wait_until,
)

SCRIPT = str(Path(__file__).with_name("run_supervisor.py"))
Serve = Callable[[str], subprocess.Popen[bytes]]
ENDING_S = 120.0


@pytest.fixture
def serve(state_dir: Path) -> Iterator[Serve]:
    started: list[subprocess.Popen[bytes]] = []

    def start(how: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, SCRIPT, str(state_dir), how]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def trainers(state_dir: Path) -> list[int]:
    return [process.pid for process in processes_of(state_dir / "runs")]


def num_starts(service: RunService, run_id: str) -> int:
    return log_path(service.queue.get(run_id)).read_text().count("── start")


def test_a_run_goes_on_without_the_server_and_is_found_again(
    make_service: MakeService, serve: Serve, state_dir: Path
) -> None:
    service = make_service()
    run, waiting = service.submit(fake_config(10, 0.05)), service.submit(fake_config(2))
    hold(run, 3)
    server = serve("fake")
    wait_until(lambda: service.get(run.id).seeds[0].step >= 3)
    kill(server)
    [pid] = trainers(state_dir)
    hold(run, 5)
    wait_until(lambda: service.get(run.id).seeds[0].step == 5)
    service.start()
    assert service.get(run.id).state == "running" and trainers(state_dir) == [pid]
    assert service.queue.get(run.id).pid == pid
    hold(run, None)
    assert wait_for_state(service, run.id, "done").attempts == 1
    assert wait_for_state(service, waiting.id, "done").attempts == 1
    assert num_starts(service, run.id) == 1


def test_one_whose_pid_was_never_written_down_is_found_again(
    make_service: MakeService, serve: Serve, state_dir: Path
) -> None:
    service = make_service()
    run = service.submit(fake_config(5, 0.05))
    hold(run, 3)
    serve("fake-unwritten").wait(timeout=ENDING_S)
    entry = service.queue.get(run.id)
    assert (entry.state, entry.pid, entry.attempts) == ("running", None, 1)
    [pid] = trainers(state_dir)
    service.start()
    assert service.queue.get(run.id).pid == pid and trainers(state_dir) == [pid]
    hold(run, None)
    assert wait_for_state(service, run.id, "done").attempts == 1


def test_one_that_was_killed_with_the_server_goes_on(make_service: MakeService, serve: Serve, state_dir: Path) -> None:
    service = make_service()
    run = service.submit(fake_config(20, 0.05))
    hold(run, 3)
    server = serve("fake")
    wait_until(lambda: service.get(run.id).seeds[0].step >= 3)
    kill(server)
    [process] = processes_of(state_dir / "runs")
    process.kill()
    hold(run, None)
    service.start()
    assert wait_for_state(service, run.id, "done").attempts == 2


def test_one_that_ended_without_the_server_is_done(make_service: MakeService, serve: Serve, state_dir: Path) -> None:
    service = make_service()
    run = service.submit(fake_config(12, 0.05))
    hold(run, 3)
    server = serve("fake")
    wait_until(lambda: service.get(run.id).seeds[0].step >= 3)
    kill(server)
    hold(run, None)
    wait_until(lambda: not trainers(state_dir))
    service.start()
    assert wait_for_state(service, run.id, "done").attempts == 1


def test_one_that_failed_without_the_server_has_failed(
    make_service: MakeService, serve: Serve, state_dir: Path
) -> None:
    service = make_service()
    run = service.submit(fake_config(1, 0.01))
    Path(f"{run.folder}.do").write_text("fail")
    serve("fake-unwritten").wait(timeout=ENDING_S)
    wait_until(lambda: not trainers(state_dir))
    service.start()
    assert wait_for_state(service, run.id, "failed").error == "`loop.epochs` (=1) is wrong; fix it"


def test_a_stop_is_remembered(make_service: MakeService, serve: Serve, state_dir: Path) -> None:
    service = make_service()
    run = service.submit(fake_config(200, 0.05))
    server = serve("fake")
    wait_until(lambda: service.get(run.id).seeds[0].step >= 3)
    kill(server)
    service.queue.change(run.id, state="stopping", wanted="stop")
    service.start()
    assert wait_for_state(service, run.id, "stopped").seeds[0].state == "stopped"


@pytest.mark.slow
def test_kills_at_random_moments_lose_and_double_nothing(
    make_service: MakeService, serve: Serve, state_dir: Path
) -> None:
    service = make_service()
    ids = [service.submit(fake_config(6, 0.05)).id for _ in range(8)]
    chance = random.Random(0)
    for _ in range(12):
        server = serve("fake")
        time.sleep(0.4 + chance.random())
        assert len(trainers(state_dir)) <= 1
        kill(server)
    assert sum(service.get(run_id).attempts for run_id in ids) >= 4
    service.start()
    for run_id in ids:
        assert wait_for_state(service, run_id, "done", timeout_s=60).attempts <= 3  # killed before it started
        assert service.metrics(run_id).series[0].train.step == [1, 2, 3, 4, 5, 6]
    assert sorted(run.id for run in service.list_runs()) == sorted(ids)
