"""A run service with a fake training that takes milliseconds, or with the real one on the tiny corpus."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from audio_dcls.service.runs.launcher import LocalLauncher
from audio_dcls.service.runs.run_service import RunService
from audio_dcls.service.runs.schemas import RunView
from audio_dcls.service.runs.supervisor import Supervision

FAKE_COMMAND = [sys.executable, str(Path(__file__).with_name("fake_trainer.py"))]
MakeService = Callable[..., RunService]


def fake_config(
    num_steps: int = 3, step_s: float = 0.01, seeds: tuple[int, ...] = (0,), **values: Any
) -> dict[str, Any]:
    """A config for the fake trainer, with a number of steps and the seconds per step."""
    return {
        "name": "fake",
        "data": {"demo_folder": "demo"},
        "seeds": list(seeds),
        "loop": {"epochs": num_steps, "checkpoint_every_minutes": step_s},
        **values,
    }


def wait_until(condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """Wait until a condition is true, and return its value."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline_s, "the condition did not become true in time"
        time.sleep(0.02)
    return found


def wait_for_state(service: RunService, run_id: str, *states: str, timeout_s: float = 60.0) -> RunView:
    """Wait until a run is in one of some states, and return it."""
    deadline_s = time.monotonic() + timeout_s
    while (view := service.get(run_id)).state not in states:
        assert time.monotonic() < deadline_s, f"{view}\n{service.log_text(run_id)}"
        time.sleep(0.02)
    return view


def wait_until_measured(service: RunService, run_id: str) -> None:
    """Wait until the scores per class of all seeds are written."""
    wait_until(lambda: service.queue.get(run_id).is_measured)


def hold(run: RunView, step: int | None) -> None:
    """Make a run's fake trainer wait after a step until it has to stop; None lets it continue."""
    path = Path(f"{run.folder}.hold")
    if step is None:
        path.unlink()
    else:
        part = path.with_suffix(".hold-part")
        part.write_text(str(step))
        part.replace(path)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Processes with a path under a folder on their command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        is_alive = process.info["status"] != psutil.STATUS_ZOMBIE
        if is_alive and any(part.startswith(str(folder)) for part in process.info["cmdline"] or ()):
            found.append(process)
    return found


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state"
    yield folder
    for process in processes_of(folder):
        with contextlib.suppress(ProcessLookupError):  # it ended in the meantime
            os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def make_service(state_dir: Path) -> Iterator[MakeService]:
    """A function that makes services with the fake training, all on one state folder."""
    made: list[RunService] = []

    def make(**keywords: Any) -> RunService:
        keywords = {"poll_s": 0.05, "launchers": {"local": LocalLauncher(command=FAKE_COMMAND)}, **keywords}
        numbers = {name: keywords.pop(name) for name in Supervision.__dataclass_fields__ if name in keywords}
        service = RunService(state_dir, supervision=Supervision(**numbers), **keywords)
        made.append(service)
        return service

    yield make
    for service in made:
        service.close(grace_s=5)


@pytest.fixture
def service(make_service: MakeService) -> RunService:
    """A service that was started."""
    service = make_service()
    service.start()
    return service
