"""Runs on a local Ray cluster with two workers end like runs without Ray."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audio_dcls.errors import RunError
from audio_dcls.service.runs.job_entry import main as run_job
from audio_dcls.service.runs.launcher import LocalLauncher
from audio_dcls.service.runs.ray_jobs import RayLauncher
from audio_dcls.settings import merge
from tests.behaviour.service.test_trained_runs import LOOP, NUM_STEPS, assert_same_weights
from tests.service.runs.conftest import MakeService, wait_for_state, wait_until

STARTING_S = 180


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A cluster of a head without processors and two workers with one each; yields the address for its jobs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))  # a token for this cluster only
        pytest.importorskip("ray")
        yield from started_cluster()


def started_cluster() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # the paths of its sockets must be short
    port, dashboard = free_port(), free_port()
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
    head = ["--head", f"--port={port}", f"--dashboard-port={dashboard}", "--num-cpus=0", f"--temp-dir={folder}"]
    worker = [f"--address=127.0.0.1:{port}", "--num-cpus=1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_DISABLE_IMPORT_WARNING": "1"}
    processes = []
    try:
        for arguments in (head, worker, worker):
            processes.append(
                subprocess.Popen(
                    [*ray, *arguments], env=environment, start_new_session=True,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )
            )  # fmt: skip
            wait_until(lambda: can_connect(port), STARTING_S)
        wait_until(lambda: can_connect(dashboard), STARTING_S)
        yield f"http://127.0.0.1:{dashboard}"
    finally:
        for process in processes[::-1]:
            process.terminate()
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def can_connect(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_on_ray_end_like_runs_without_it(
    cluster: str, make_service: MakeService, tiny_corpus: Path, tiny_values: dict[str, Any]
) -> None:
    launchers = {"local": LocalLauncher(), "ray": RayLauncher(cluster)}
    keywords: dict[str, Any] = {"launchers": launchers, "data_roots": [tiny_corpus], "measures": False, "poll_s": 0.2}
    values = merge(tiny_values, {"loop": LOOP})
    local = make_service(engine="local", **keywords)
    alone = local.submit(values)
    service = make_service(engine="ray", max_running=2, **keywords)
    first, second = service.submit(values), service.submit(values)
    wrong = service.submit(merge(values, {"data": {"eval_splits": ["test"]}}))
    service.start()
    assert (first.engine, service.get(alone.id).engine) == ("ray", "local")
    wait_until(lambda: service.get(second.id).seeds[0].step >= 10, STARTING_S)
    service.stop(second.id)
    view = wait_for_state(service, second.id, "stopped", timeout_s=STARTING_S)
    assert view.seeds[0].state == "stopped" and 10 <= view.seeds[0].step < NUM_STEPS
    wait_until(lambda: service.get(first.id).seeds[0].step >= 10, STARTING_S)
    service.close(leave=True)
    service = make_service(engine="ray", max_running=2, **keywords)
    service.start()
    service.resume(second.id)
    for run in (alone, first, second):
        wait_for_state(service, run.id, "done", timeout_s=STARTING_S)
    assert [service.get(run.id).attempts for run in (alone, first, second)] == [1, 1, 2]
    assert_same_weights(first.folder, alone.folder)
    assert_same_weights(second.folder, alone.folder)
    error = wait_for_state(service, wrong.id, "failed", timeout_s=STARTING_S).error
    assert error is not None and error.startswith("no usable clip for `data.eval_splits`")
    assert not list(Path(service.runs_dir).glob("*.stop"))


def test_a_job_ends_as_its_command_does(tmp_path: Path) -> None:
    log, stop = tmp_path / "log", tmp_path / "stop"
    script = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(75)); print('ready'); time.sleep(60)"
    previous = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        assert run_job([str(log), str(stop), sys.executable, "-c", "print('hello'); raise SystemExit(3)"]) == 3
        assert run_job([str(log), str(stop), sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]) == 137
        assert log.read_text() == "hello\n"
        stop.touch()
        started_s = time.monotonic()
        assert run_job([str(log), str(stop), sys.executable, "-c", script]) in (75, 143)
        assert time.monotonic() - started_s < 10
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), previous, strict=True):
            signal.signal(number, handler)


def test_without_ray_the_engine_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, make_service: MakeService
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "ray.job_submission", raising=False)
    with pytest.raises(RunError, match=r"audio-dcls\[ray\]"):
        make_service(engine="ray", launchers=None)
