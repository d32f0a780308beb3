"""The whole service is killed while it trains and takes uploads; no run is lost."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from audio_dcls.errors import ServiceError
from audio_dcls.service.client import Client
from audio_dcls.settings import merge
from tests.behaviour.service.test_trained_runs import LOOP, NUM_STEPS, assert_same_weights
from tests.service.conftest import serving, wav

UPLOADS = 100
ENOUGH_S = 300.0
GONE_S = 15.0


def wait_for_step(client: Client, run_id: str, step: int) -> None:
    end = time.monotonic() + ENOUGH_S
    while not (seeds := client.run(run_id).seeds) or seeds[0].step < step:
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_nothing_is_lost_or_doubled(
    tmp_path: Path, model_path: Path, tiny_corpus: Path, tiny_values: dict[str, Any]
) -> None:
    arguments = ["--model", f"small={model_path}", "--data-root", tiny_corpus]
    config = merge(tiny_values, {"loop": LOOP})
    with serving(tmp_path, *arguments) as (address, process), Client(address, retries=0) as client:
        alone = client.submit(config, name="alone")
        runs = [alone.id, *(client.submit(config, name=f"run-{number}").id for number in range(3))]
        assert client.wait(alone.id, timeout_s=ENOUGH_S).state == "done"
        wait_for_step(client, runs[1], 20)
        workers = psutil.Process(process.pid).children(recursive=True)
        outcomes = upload_and_kill(address, process, UPLOADS)
    assert "tagged" in outcomes
    assert "unreachable" in outcomes
    left = [worker for worker in workers if "audio_dcls_cli" not in " ".join(command_of(worker))]
    assert psutil.wait_procs(left, GONE_S)[1] == []  # no decoder outlives the service
    with serving(tmp_path, *arguments) as (address, _), Client(address) as client:
        assert sorted(run.id for run in client.runs()) == sorted(runs)
        for run_id in runs[1:]:
            run = client.wait(run_id, timeout_s=ENOUGH_S)
            assert (run.state, run.seeds[0].step) == ("done", NUM_STEPS)
            assert_same_weights(run.folder, alone.folder)
        assert client.run(runs[1]).attempts == 1  # its process outlived the service, and was found again
        assert client.tag(wav()).model == "small"
        assert list((tmp_path / "state" / "spool").iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_runs_that_die_with_the_service_are_resumed(
    tmp_path: Path, tiny_corpus: Path, tiny_values: dict[str, Any]
) -> None:
    arguments = ["--data-root", tiny_corpus]
    config = merge(tiny_values, {"loop": LOOP})
    with serving(tmp_path, *arguments) as (address, process), Client(address) as client:
        alone = client.submit(config, name="alone")
        assert client.wait(alone.id, timeout_s=ENOUGH_S).state == "done"
        killed = client.submit(config, name="killed")
        wait_for_step(client, killed.id, 40)
        everything = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in everything:  # as when a machine goes down
            one.kill()
    with serving(tmp_path, *arguments) as (address, process), Client(address) as client:
        wait_for_step(client, killed.id, 60)
        process.terminate()  # an orderly end makes the run write a checkpoint
        assert process.wait(60) in (0, -signal.SIGTERM)
    with serving(tmp_path, *arguments) as (address, _), Client(address) as client:
        run = client.wait(killed.id, timeout_s=ENOUGH_S)
        assert (run.state, run.attempts) == ("done", 3)
        assert_same_weights(run.folder, alone.folder)


def upload_and_kill(address: str, process: Any, count: int) -> set[str]:
    """Send sounds from many threads, kill the service in the middle, and return the outcomes."""

    def send(number: int) -> str:
        with Client(address, retries=0) as client:
            if number == count // 3:
                process.kill()
            try:
                client.tag(wav(5.0, seed=number))
            except ServiceError as error:
                return error.code
            return "tagged"

    with ThreadPoolExecutor(16) as executor:
        return set(executor.map(send, range(count)))


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
