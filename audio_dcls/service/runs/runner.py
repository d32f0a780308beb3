"""The training half of the service: submits, watches, stops, resumes, deletes runs, and makes models of them."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from audio_dcls.errors import RunError, ServiceError
from audio_dcls.files import write_atomically
from audio_dcls.runs.locks import try_lock
from audio_dcls.service.runs.event_stream import RunEvent, RunEvents
from audio_dcls.service.runs.launcher import Launcher, LocalLauncher, log_path
from audio_dcls.service.runs.model_maker import ModelMaker
from audio_dcls.service.runs.progress import describe_run, read_class_scores, read_metrics
from audio_dcls.service.runs.queue import ACTIVE, FINAL, RunEntry, RunQueue, new_id, now_text
from audio_dcls.service.runs.ray_jobs import RayLauncher
from audio_dcls.service.runs.run_config import BuiltRun, RunConfigs
from audio_dcls.service.runs.run_folder import read_tail
from audio_dcls.service.runs.schemas import PerClass, RunMetrics, RunView
from audio_dcls.service.runs.supervisor import Supervisor
from audio_dcls.training.studies.case_study import CaseStudyDir
from audio_dcls.training.studies.study_config import StudyPlan

LOCK_FILE = "runs.lock"
LOCK_WAIT_S = 10.0
"""How long a starting service waits for the one before it to end."""
LOCK_POLL_S = 0.1
HIDDEN_PREFIX = ".deleted-"
MAX_QUEUED = 1000
MAX_LOG_LINES = 10_000


class RunService:
    """Training runs in a state folder, of which one service at a time takes care.

    Args:
        state_dir: holds queue.sqlite3, runs/, models/ and demo_corpora/.
        data_roots: folders and addresses that configs may read.
        config_dirs: folders of configs that may be named, beside those shipped.
        max_running: runs trained at a time.
        engine: of new runs: `local` for child processes of this machine, `ray` for jobs of a Ray cluster.
        ray_address: of that cluster.
        launchers: by engine, in place of those.
        max_attempts: starts without a new step after which a run is given up.
        poll_s: between two looks at the runs.
        kill_after_s: a run that was asked to stop and has not by then is killed.
        measures: whether runs that are done are measured class by class.
        taken_model_names: names of models elsewhere.
        python: the interpreter of child processes.

    Raises:
        RunError: the engine is not installed.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        data_roots: Iterable[str | Path] = (),
        config_dirs: Iterable[Path] = (),
        max_running: int = 1,
        engine: str = "local",
        ray_address: str = "auto",
        launchers: Mapping[str, Launcher] | None = None,
        max_attempts: int = 3,
        poll_s: float = 0.5,
        kill_after_s: float = 600.0,
        measures: bool = True,
        taken_model_names: Callable[[], Collection[str]] = tuple,
        python: str = sys.executable,
    ) -> None:
        self.state_dir = Path(state_dir).absolute()
        self.runs_dir = self.state_dir / "runs"
        self.engine, self.poll_s = engine, poll_s
        self.queue = RunQueue(self.state_dir / "queue.sqlite3")
        self.configs = RunConfigs(self.state_dir, data_roots, config_dirs)
        self.models = ModelMaker(self.state_dir / "models", self.queue, taken_model_names)
        self.supervisor = Supervisor(
            self.queue,
            launchers or _build_launchers(engine, ray_address, python),
            max_running=max_running,
            max_attempts=max_attempts,
            poll_s=poll_s,
            kill_after_s=kill_after_s,
            measures=measures,
        )
        self._held = contextlib.ExitStack()

    @property
    def is_alive(self) -> bool:
        """Whether runs are taken care of."""
        return self.supervisor.is_alive

    def start(self) -> None:
        """Find running runs again, go on with those that were killed, and take care of the queue.

        Raises:
            RunError: another service takes care of this state folder.
        """
        deadline_s = time.monotonic() + LOCK_WAIT_S
        while not self._held.enter_context(try_lock(self.state_dir / LOCK_FILE)):
            self._held.close()
            if time.monotonic() > deadline_s:
                raise RunError(
                    f"state folder '{self.state_dir}' is another running service's; stop that one, or name another "
                    "folder in the setting `state_dir`"
                )
            time.sleep(LOCK_POLL_S)
        self.runs_dir.mkdir(parents=True, exist_ok=True)
        for hidden in self.runs_dir.glob(f"{HIDDEN_PREFIX}*"):
            shutil.rmtree(hidden, ignore_errors=True)
        self.supervisor.start()

    def close(self, *, leave: bool = False, grace_s: float = 30.0) -> None:
        """Stop taking care; the next `start` goes on.

        Args:
            leave: let running runs go on; otherwise they write their checkpoints and end.
            grace_s: how long to wait for that.
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
        """Put a run into the queue.

        Args:
            config: name of a config, or its values.
            overrides: values by dotted key.
            seeds: in place of the config's.
            name: in place of the config's.
            owner: who submits it.

        Raises:
            ConfigError: the config is wrong, or would read what it may not.
            ServiceError: 404, there is no such config; 429, the queue is full.
        """
        if len(self.queue.entries("queued")) >= MAX_QUEUED:
            message = f"{MAX_QUEUED} runs are queued already; delete some, or wait"
            raise ServiceError(message, status=429, code="queue_full")
        built = self.configs.build(config, overrides, seeds, name)
        request = {"config": config, "overrides": overrides, "seeds": seeds, "name": name}
        while True:
            run_id = new_id()
            folder, path = self.runs_dir / run_id, self.runs_dir / f"{run_id}.yaml"
            if path.exists() or folder.exists():
                continue
            _write(built, request, path, folder)
            entry = RunEntry(
                id=run_id,
                place=0,
                name=built.name,
                kind=built.kind,
                state="queued",
                wanted="run",
                owner=owner,
                config_path=str(path),
                folder=str(folder),
                engine=self.engine,
                created=now_text(),
            )
            with contextlib.suppress(sqlite3.IntegrityError):
                entry = self.queue.add(entry)
                break
        self.supervisor.wake()
        return self._view(entry, self.queue.entries("queued"), {})

    def get(self, run_id: str) -> RunView:
        """A run.

        Raises:
            ServiceError: 404, there is none.
        """
        return self._view(self.queue.get(run_id), self.queue.entries("queued"), self.models.names_by_run())

    def list_runs(self) -> list[RunView]:
        """All runs, newest first."""
        entries, models = self.queue.entries(), self.models.names_by_run()
        queued = [entry for entry in entries if entry.state == "queued"]
        newest = sorted(entries, key=lambda entry: (entry.created, entry.place), reverse=True)
        return [self._view(entry, queued, models) for entry in newest]

    def config_text(self, run_id: str) -> str:
        """A run's whole config as YAML, what was submitted in comments above it."""
        with contextlib.suppress(FileNotFoundError):
            return Path(self.queue.get(run_id).config_path).read_text(encoding="utf-8")
        raise ServiceError(f"the config of run '{run_id}' is gone; delete the run", status=404, code="no_config")

    def metrics(self, run_id: str) -> RunMetrics:
        """A run's curves."""
        return read_metrics(self.queue.get(run_id))

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
        """What happens to a run, as it happens; see `RunEvents`.

        Raises:
            ServiceError: 404, there is no such run.
        """
        entry = self.queue.get(run_id)
        events = RunEvents(entry, self._look, poll_s=self.poll_s, last_event_id=last_event_id, replay=replay)
        return events.stream()

    def stop(self, run_id: str) -> RunView:
        """Have a run write a checkpoint and end; one that waits leaves the queue.

        Raises:
            ServiceError: 404, there is no such run; 409, it is over.
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
        """Put a run that stopped or failed at the end of the queue; it goes on from its last checkpoints.

        Raises:
            ServiceError: 404, there is no such run; 409, it is done, or is still stopping.
        """
        with self.supervisor.lock:
            entry = self.queue.get(run_id)
            if entry.state == "done":
                message = f"run '{run_id}' is done; there is nothing to go on with"
                raise ServiceError(message, status=409, code="run_is_over")
            if entry.state == "stopping":
                raise _running(entry, "is still stopping; ask again in a moment")
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
        """Delete a run's folder, log and config; models made of it stay.

        Raises:
            ServiceError: 404, there is no such run; 409, it is being trained.
        """
        with self.supervisor.lock:
            entry = self.queue.get(run_id)
            if entry.state in ACTIVE:
                raise _running(entry, "is being trained; stop it first")
            self.queue.change(run_id, only_in=("queued",), state="stopped", wanted="stop")
            self.supervisor.forget(entry)
            hidden = self.runs_dir / f"{HIDDEN_PREFIX}{entry.id}"
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
            ConfigError: the name is none, or the case must be named.
        """
        return self.models.make(self.queue.get(run_id), name, seed=seed, case=case, best=best)

    def _look(self, run_id: str) -> tuple[RunView, bool]:
        """A run, and whether nothing more will come of it."""
        entry = self.queue.get(run_id)
        is_over = entry.state in FINAL and not self.supervisor.is_to_be_measured(entry)
        return self._view(entry, self.queue.entries("queued"), self.models.names_by_run()), is_over

    def _view(self, entry: RunEntry, queued: Sequence[RunEntry], models: Mapping[str, Sequence[str]]) -> RunView:
        places = {waiting.id: number for number, waiting in enumerate(queued, start=1)}
        return describe_run(entry, position=places.get(entry.id), models=models.get(entry.id, ()))


def _build_launchers(engine: str, ray_address: str, python: str) -> dict[str, Launcher]:
    """Of child processes always: there may be some of before."""
    launchers: dict[str, Launcher] = {"local": LocalLauncher(python)}
    if engine == "ray":
        launchers["ray"] = RayLauncher(ray_address, python)
    return launchers


def _write(built: BuiltRun, request: Mapping[str, Any], path: Path, folder: Path) -> None:
    """Write what a run needs before the queue knows of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    submitted = json.dumps(request, ensure_ascii=True)
    write_atomically(path, f"# submitted: {submitted}\n{built.to_yaml()}".encode())
    if isinstance(built.config, StudyPlan):
        CaseStudyDir(folder).create(built.config)


def _running(entry: RunEntry, what: str) -> ServiceError:
    return ServiceError(f"run '{entry.id}' {what}", status=409, code="run_is_running")
