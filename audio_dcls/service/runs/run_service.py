"""Training runs of the service: submit, watch, stop, resume and delete them, and make models from them."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from audio_dcls.errors import RunError, ServiceError
from audio_dcls.runs.locks import try_lock
from audio_dcls.service.runs.event_stream import RunEvent, RunEvents
from audio_dcls.service.runs.launcher import Launcher, LocalLauncher, log_path
from audio_dcls.service.runs.model_maker import ModelMaker
from audio_dcls.service.runs.progress import describe_run, read_class_scores, read_curves
from audio_dcls.service.runs.queue import ACTIVE, FINAL, RunEntry, RunQueue, now_text
from audio_dcls.service.runs.ray_jobs import RayLauncher
from audio_dcls.service.runs.run_config import RunConfigs
from audio_dcls.service.runs.run_folder import read_tail
from audio_dcls.service.runs.schemas import PerClass, RunMetrics, RunView
from audio_dcls.service.runs.submission import enqueue
from audio_dcls.service.runs.supervisor import Supervision, Supervisor

LOCK_WAIT_S = 10.0
"""A starting service waits this long for an earlier service to end."""
MAX_LOG_LINES = 10_000
_LOCK_FILE = "runs.lock"
_LOCK_POLL_S = 0.1
_HIDDEN_PREFIX = ".deleted-"
_MAX_QUEUED = 1000


class RunService:
    """The training runs in a state folder; one service at a time manages them.

    Args:
        state_dir: holds queue.sqlite3, runs/, models/ and demo_corpora/.
        data_roots: folders and addresses that configs may read.
        config_dirs: folders of configs that clients may name, in addition to the shipped configs.
        engine: trains new runs: `local` in child processes on this machine, `ray` in jobs of a Ray cluster.
        ray_address: the address of the cluster.
        launchers: by engine; they replace the usual ones.
        supervision: how many runs are trained at once, and when a run fails.
        taken_model_names: returns the names of the service's other models.

    Raises:
        RunError: the engine is not installed.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        data_roots: Iterable[str | Path] = (),
        config_dirs: Iterable[Path] = (),
        engine: str = "local",
        ray_address: str = "auto",
        launchers: Mapping[str, Launcher] | None = None,
        supervision: Supervision | None = None,
        taken_model_names: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self.state_dir = Path(state_dir).absolute()
        self.runs_dir = self.state_dir / "runs"
        self.engine = engine
        self.queue = RunQueue(self.state_dir / "queue.sqlite3")
        self.configs = RunConfigs(self.state_dir, data_roots, config_dirs)
        self.models = ModelMaker(self.state_dir / "models", self.queue, taken_model_names)
        self.supervisor = Supervisor(self.queue, launchers or _build_launchers(engine, ray_address), supervision)
        self._held = contextlib.ExitStack()

    @property
    def is_alive(self) -> bool:
        """True if the runs are supervised."""
        return self.supervisor.is_alive

    def start(self) -> None:
        """Find running runs again, resume killed runs, and start to work through the queue.

        Raises RunError if another service uses this state folder.
        """
        deadline_s = time.monotonic() + LOCK_WAIT_S
        while not self._held.enter_context(try_lock(self.state_dir / _LOCK_FILE)):
            self._held.close()
            if time.monotonic() > deadline_s:
                raise RunError(
                    f"state folder '{self.state_dir}' is in use by another running service; stop that service, or name "
                    "another folder in the setting `state_dir`"
                )
            time.sleep(_LOCK_POLL_S)
        self.runs_dir.mkdir(parents=True, exist_ok=True)
        for hidden in self.runs_dir.glob(f"{_HIDDEN_PREFIX}*"):
            shutil.rmtree(hidden, ignore_errors=True)
        self.supervisor.start()

    def close(self, *, leave: bool = False, grace_s: float = 30.0) -> None:
        """Stop supervising the runs; the next `start` continues.

        With `leave`, running runs continue; otherwise they have `grace_s` seconds to write their checkpoints and end.
        """
        self.supervisor.close(leave=leave, grace_s=grace_s)
        self._held.close()

    def submit(
        self,
        config: str | Mapping[str, Any],
        overrides: Mapping[str, Any] | None = None,
        seeds: Sequence[int] | None = None,
        name: str | None = None,
        owner: str | None = None,
    ) -> RunView:
        """Put a run into the queue; `owner` is the name of the caller's key.

        Raises ConfigError if the config is wrong or names files that runs may not read, and ServiceError if there is no
        such config (404) or the queue is full (429).
        """
        if len(self.queue.entries("queued")) >= _MAX_QUEUED:
            message = f"{_MAX_QUEUED} runs are queued already; delete some, or wait"
            raise ServiceError(message, status=429, code="queue_full")
        built = self.configs.build(config, overrides, seeds, name)
        request = {"config": config, "overrides": overrides, "seeds": seeds, "name": name}
        entry = enqueue(self.queue, self.runs_dir, built, request, engine=self.engine, owner=owner)
        self.supervisor.wake()
        return self._view(entry, self.queue.entries("queued"), {})

    def get(self, run_id: str) -> RunView:
        """A run; raises ServiceError (404) if there is no such run."""
        return self._view(self.queue.get(run_id), self.queue.entries("queued"), self.models.names_by_run())

    def list_runs(self) -> list[RunView]:
        """All runs, newest first."""
        entries, models = self.queue.entries(), self.models.names_by_run()
        queued = [entry for entry in entries if entry.state == "queued"]
        newest = sorted(entries, key=lambda entry: (entry.created, entry.place), reverse=True)
        return [self._view(entry, queued, models) for entry in newest]

    def config_text(self, run_id: str) -> str:
        """A run's complete config as YAML; a comment at its top holds the request."""
        with contextlib.suppress(FileNotFoundError):
            return Path(self.queue.get(run_id).config_path).read_text(encoding="utf-8")
        raise ServiceError(f"the config of run '{run_id}' is missing; delete the run", status=404, code="no_config")

    def metrics(self, run_id: str) -> RunMetrics:
        """A run's curves."""
        return read_curves(self.queue.get(run_id))

    def per_class(self, run_id: str) -> PerClass:
        """A run's scores per class."""
        return read_class_scores(self.queue.get(run_id))

    def log_text(self, run_id: str, num_lines: int = 200) -> str:
        """The last lines of a run's output."""
        lines = read_tail(log_path(self.queue.get(run_id)), min(num_lines, MAX_LOG_LINES))
        return "".join(f"{line}\n" for line in lines)

    def events(
        self, run_id: str, last_event_id: str | None = None, replay: int | None = None
    ) -> AsyncIterator[RunEvent]:
        """The events of a run as they happen; see `RunEvents`. Raises ServiceError (404) if there is no such run."""
        entry = self.queue.get(run_id)
        poll_s = self.supervisor.supervision.poll_s
        return RunEvents(entry, self._look, poll_s=poll_s, last_event_id=last_event_id, replay=replay).stream()

    def stop(self, run_id: str) -> RunView:
        """Make a run write a checkpoint and end; a queued run leaves the queue.

        Raises ServiceError if there is no such run (404), or it is over (409).
        """
        with self.supervisor.lock:
            entry = self.queue.get(run_id)
            if entry.state in ("done", "failed"):
                message = f"run '{run_id}' is {entry.state} already; there is nothing to stop"
                raise ServiceError(message, status=409, code="run_is_over")
            if entry.state == "queued":
                self.queue.change(run_id, only_in=("queued",), state="stopped", wanted="stop", ended=now_text())
            elif entry.state == "running":
                self.queue.change(run_id, only_in=("running",), state="stopping", wanted="stop")
        self.supervisor.wake()
        return self.get(run_id)

    def resume(self, run_id: str) -> RunView:
        """Put a run that stopped or failed at the end of the queue; it resumes from its last checkpoints.

        Raises:
            ServiceError: 404, there is no such run; 409, the run is done, or is still stopping.
        """
        with self.supervisor.lock:
            entry = self.queue.get(run_id)
            if entry.state == "done":
                message = f"run '{run_id}' is done; there is nothing to resume"
                raise ServiceError(message, status=409, code="run_is_over")
            if entry.state == "stopping":
                raise _running(entry, "is still stopping; try again in a moment")
            self.queue.change(
                run_id,
                only_in=("stopped", "failed"),
                state="queued",
                wanted="run",
                place=None,
                error=None,
                ended=None,
                idle_attempts=0,
            )
        self.supervisor.wake()
        return self.get(run_id)

    def delete(self, run_id: str) -> None:
        """Delete a run's folder, log and config; models made from it stay.

        Raises ServiceError if there is no such run (404), or it is being trained (409).
        """
        with self.supervisor.lock:
            entry = self.queue.get(run_id)
            if entry.state in ACTIVE:
                raise _running(entry, "is being trained; stop it first")
            self.queue.change(run_id, only_in=("queued",), state="stopped", wanted="stop")
            self.supervisor.forget(entry)
            hidden = self.runs_dir / f"{_HIDDEN_PREFIX}{entry.id}"
            with contextlib.suppress(FileNotFoundError):
                (self.runs_dir / entry.id).rename(hidden)
            for suffix in (".log", ".yaml", ".stop"):
                (self.runs_dir / f"{entry.id}{suffix}").unlink(missing_ok=True)
            self.queue.remove(run_id)
        shutil.rmtree(hidden, ignore_errors=True)

    def make_model(
        self, run_id: str, name: str, *, seed: int | None = None, case: str | None = None, best: bool = False
    ) -> Path:
        """Copy a run's newest model, or its best, to models/NAME.safetensors.

        Raises:
            ServiceError: 404, no such run, seed or case; 409, the name is taken or there is no checkpoint yet.
            ConfigError: the name is not valid, or a case must be named.
        """
        return self.models.make(self.queue.get(run_id), name, seed=seed, case=case, best=best)

    def _look(self, run_id: str) -> tuple[RunView, bool]:
        """A run, and whether it will change no more."""
        entry = self.queue.get(run_id)
        is_over = entry.state in FINAL and not self.supervisor.will_measure(entry)
        return self._view(entry, self.queue.entries("queued"), self.models.names_by_run()), is_over

    def _view(self, entry: RunEntry, queued: Sequence[RunEntry], models: Mapping[str, Sequence[str]]) -> RunView:
        places = {waiting.id: number for number, waiting in enumerate(queued, start=1)}
        return describe_run(entry, position=places.get(entry.id), models=models.get(entry.id, ()))


def _build_launchers(engine: str, ray_address: str) -> dict[str, Launcher]:
    """The launcher of the engine, and the local one for runs that were started before the engine was changed."""
    launchers: dict[str, Launcher] = {"local": LocalLauncher()}
    if engine == "ray":
        launchers["ray"] = RayLauncher(ray_address)
    return launchers


def _running(entry: RunEntry, what: str) -> ServiceError:
    return ServiceError(f"run '{entry.id}' {what}", status=409, code="run_is_running")
