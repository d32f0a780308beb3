"""Train runs as jobs of a Ray cluster (the extra `[ray]`) whose machines see the same state folder.

https://docs.ray.io/en/latest/cluster/running-applications/job-submission/
"""

from __future__ import annotations

import secrets
import shlex
import sys
from pathlib import Path
from typing import Any

from audio_dcls.errors import RunError
from audio_dcls.extras import need_package
from audio_dcls.service.runs.launcher import (
    EngineAwayError,
    Started,
    eval_arguments,
    log_path,
    mark_start,
    train_arguments,
)
from audio_dcls.service.runs.queue import RunEntry
from audio_dcls.service.runs.run_folder import num_gpus

_ALIVE = ("PENDING", "RUNNING")
_NOT_FOUND = "status code 404"


class RayLauncher:
    """Submits, watches and stops jobs of a Ray cluster.

    Args:
        address: as in `ray job submit --address`: `http://HOST:8265`, or `auto` for a cluster on this machine.
        python: the interpreter on the cluster's machines; it has this program installed.
        num_cpus: processors that each run reserves.

    Raises:
        RunError: Ray is not installed.
    """

    engine = "ray"

    def __init__(self, address: str = "auto", python: str = sys.executable, num_cpus: float = 1.0) -> None:
        self.address, self.python, self.num_cpus = address, python, num_cpus
        self._jobs = need_package("ray.job_submission", "ray", RunError)
        self._errors = (RuntimeError, need_package("ray.exceptions", "ray", RunError).RayError)
        self._client: Any = None

    def start(self, entry: RunEntry) -> Started:
        """Submit a job that trains a run.

        Raises:
            EngineAwayError: the cluster cannot be reached.
            RunError: the cluster refuses the job.
        """
        mark_start(entry)
        _stop_file(entry).unlink(missing_ok=True)
        return self._submit(entry, train_arguments(entry), _job_name(entry))

    def measure(self, entry: RunEntry) -> Started:
        """Submit a job that measures a run; it raises the same errors as `start`."""
        _stop_file(entry).unlink(missing_ok=True)
        return self._submit(entry, eval_arguments(entry), f"{_job_name(entry)}-eval-{secrets.token_hex(3)}")

    def find(self, entry: RunEntry) -> Started | None:
        """The job of a run's last start, if it is alive; the run and the number of starts give the job's name."""
        name = _job_name(entry)
        details = self._details(name)
        return Started(handle=name) if details is not None and details.status.value in _ALIVE else None

    def is_alive(self, entry: RunEntry) -> bool:
        """True if the job runs, or waits for a machine."""
        details = self._details(entry.handle)
        return details is not None and details.status.value in _ALIVE

    def exit_code(self, entry: RunEntry) -> int | None:
        """The exit code of the job's command; None if the cluster does not know it."""
        details = self._details(entry.handle)
        return None if details is None else details.driver_exit_code

    def stop(self, entry: RunEntry, *, force: bool = False) -> None:
        """Create the file that makes the job write a checkpoint and end; with `force`, make the cluster end the job.

        A job that still waits for a machine is ended at once.
        """
        details = self._details(entry.handle)
        if details is None:
            return
        _stop_file(entry).touch()
        if force or details.status.value == "PENDING":
            self._call("stop_job", entry.handle)

    def clear(self, entry: RunEntry) -> None:
        """Remove the file that stopped the job."""
        _stop_file(entry).unlink(missing_ok=True)

    def _submit(self, entry: RunEntry, arguments: list[str], name: str) -> Started:
        paths = [str(log_path(entry)), str(_stop_file(entry))]
        command = [self.python, "-m", "audio_dcls.service.runs.job_entry", *paths]
        self._call(
            "submit_job",
            entrypoint=shlex.join([*command, self.python, "-m", "audio_dcls_cli", *arguments]),
            submission_id=name,
            entrypoint_num_cpus=self.num_cpus,
            entrypoint_num_gpus=num_gpus(entry) or None,
            metadata={"run": entry.id, "name": entry.name},
        )
        return Started(handle=name)

    def _details(self, name: str | None) -> Any:
        """The cluster's data about a job; None if the cluster does not know the job."""
        if name is None:
            return None
        try:
            return self._call("get_job_info", name)
        except RunError as error:
            if _NOT_FOUND in str(error):
                return None
            raise

    def _call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a method of the cluster's client, which connects with the first call."""
        try:
            if self._client is None:
                self._client = self._jobs.JobSubmissionClient(self.address)
            return getattr(self._client, method)(*arguments, **keywords)
        except OSError as error:
            raise EngineAwayError(f"the Ray cluster at '{self.address}' cannot be reached: {error}") from error
        except self._errors as error:
            raise RunError(f"the Ray cluster at '{self.address}' refuses: {error}") from error


def _job_name(entry: RunEntry) -> str:
    return f"audio-dcls-{entry.id}-{entry.attempts}"


def _stop_file(entry: RunEntry) -> Path:
    return Path(f"{entry.folder}.stop")
