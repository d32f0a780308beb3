"""Hands runs to a Ray cluster as jobs (the extra `[ray]`); its machines see the same state folder.

https://docs.ray.io/en/latest/cluster/running-applications/job-submission/
"""

from __future__ import annotations

import importlib
import importlib.util
import secrets
import shlex
import sys
from pathlib import Path
from typing import Any

from audio_dcls.errors import RunError
from audio_dcls.service.runs.launcher import (
    EngineAwayError,
    Started,
    eval_arguments,
    log_path,
    mark_start,
    train_arguments,
)
from audio_dcls.service.runs.queue import RunEntry
from audio_dcls.service.runs.run_folder import wanted_gpus

ALIVE = ("PENDING", "RUNNING")
NOT_FOUND = "status code 404"


class RayLauncher:
    """Jobs of a Ray cluster.

    Args:
        address: as `ray job submit --address` takes it: `http://HOST:8265`, or `auto` for a cluster on this machine.
        python: interpreter on the cluster's machines, which have the program installed.
        num_cpus: that each run reserves.

    Raises:
        RunError: Ray is not installed.
    """

    engine = "ray"

    def __init__(self, address: str = "auto", python: str = sys.executable, num_cpus: float = 1.0) -> None:
        if importlib.util.find_spec("ray") is None:
            raise RunError("`engine` (='ray') needs Ray, which is not installed: pip install 'audio-dcls[ray]'")
        self.address, self.python, self.num_cpus = address, python, num_cpus
        self._made_client: Any = None
        self._errors: tuple[type[Exception], ...] = (RuntimeError,)

    def start(self, entry: RunEntry) -> Started:
        """Submit a job that trains a run.

        Raises:
            EngineAwayError: the cluster cannot be reached.
            RunError: it does not take the job.
        """
        mark_start(entry)
        _stop_file(entry).unlink(missing_ok=True)
        return self._submit(entry, train_arguments(entry), _job_name(entry))

    def measure(self, entry: RunEntry) -> Started:
        """Submit a job that measures a run; raises like `start`."""
        _stop_file(entry).unlink(missing_ok=True)
        return self._submit(entry, eval_arguments(entry), f"{_job_name(entry)}-eval-{secrets.token_hex(3)}")

    def find(self, entry: RunEntry) -> Started | None:
        """The job of a run's last start: its name follows from the run and the number of starts."""
        name = _job_name(entry)
        details = self._details(name)
        return Started(handle=name) if details is not None and details.status.value in ALIVE else None

    def is_alive(self, entry: RunEntry) -> bool:
        """Whether the job waits for a machine, or runs."""
        details = None if entry.handle is None else self._details(entry.handle)
        return details is not None and details.status.value in ALIVE

    def exit_code(self, entry: RunEntry) -> int | None:
        """Of the command; None where the cluster does not know."""
        details = None if entry.handle is None else self._details(entry.handle)
        return None if details is None else details.driver_exit_code

    def stop(self, entry: RunEntry, *, force: bool = False) -> None:
        """Leave the file that has the job write a checkpoint and end; by force, have the cluster end it.

        A job that still waits for a machine is ended at once.
        """
        details = None if entry.handle is None else self._details(entry.handle)
        if details is None:
            return
        _stop_file(entry).touch()
        if force or details.status.value == "PENDING":
            self._asked(self._client().stop_job, entry.handle)

    def clear(self, entry: RunEntry) -> None:
        """Take the file away that stopped the job."""
        _stop_file(entry).unlink(missing_ok=True)

    def _submit(self, entry: RunEntry, arguments: list[str], name: str) -> Started:
        paths = [str(log_path(entry)), str(_stop_file(entry))]
        command = [self.python, "-m", "audio_dcls.service.runs.job_entry", *paths]
        self._asked(
            self._client().submit_job,
            entrypoint=shlex.join([*command, self.python, "-m", "audio_dcls_cli", *arguments]),
            submission_id=name,
            entrypoint_num_cpus=self.num_cpus,
            entrypoint_num_gpus=wanted_gpus(entry) or None,
            metadata={"run": entry.id, "name": entry.name},
        )
        return Started(handle=name)

    def _details(self, name: str) -> Any:
        """What the cluster knows of a job; None for nothing."""
        try:
            return self._asked(self._client().get_job_info, name)
        except RunError as error:
            if NOT_FOUND in str(error):
                return None
            raise

    def _asked(self, call: Any, *arguments: Any, **keywords: Any) -> Any:
        try:
            return call(*arguments, **keywords)
        except OSError as error:
            raise EngineAwayError(f"the Ray cluster at '{self.address}' cannot be reached: {error}") from error
        except self._errors as error:
            raise RunError(f"the Ray cluster at '{self.address}' refuses: {error}") from error

    def _client(self) -> Any:
        if self._made_client is None:
            module: Any = importlib.import_module("ray.job_submission")
            self._errors = (RuntimeError, importlib.import_module("ray.exceptions").RayError)
            self._made_client = self._asked(module.JobSubmissionClient, self.address)
        return self._made_client


def _job_name(entry: RunEntry) -> str:
    return f"audio-dcls-{entry.id}-{entry.attempts}"


def _stop_file(entry: RunEntry) -> Path:
    return Path(f"{entry.folder}.stop")
