"""A study of several cases, each trained on the same seeds.

::

    STUDY/
      study.yaml             the plan: every case's whole config, and its baseline
      clip_report.csv        every clip, checked once for all cases
      labels.csv             the classes, in the form of AudioSet's class_labels_indices.csv
      CASE/                  see `audio_dcls.runs.study_dir`: config.yaml, seed-0/, seed-1/, ...
      table/                 written by `audio-dcls study table`
      .locks/                locks of the study and of its runs
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from audio_dcls.errors import RunError
from audio_dcls.files import write_atomically
from audio_dcls.labels import LabelSet
from audio_dcls.models.checkpoint.folders import PLAN_FILE
from audio_dcls.runs.locks import try_lock, wait_for_lock
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import TrainingClips
from audio_dcls.settings import build, dump_yaml, load_yaml
from audio_dcls.training.interruption import StopRequest
from audio_dcls.training.studies.study import train_study
from audio_dcls.training.studies.study_config import TABLE_FOLDER, StudyPlan
from audio_dcls.training.train_events import RunStopped, TrainEvent

LOCKS_FOLDER = ".locks"
MAX_KEYS_NAMED = 4
State = Literal["done", "begun", "failed", "to do"]


@dataclass(frozen=True)
class CaseRunBegins:
    """One run of a study is about to start or resume."""

    case: str
    seed: int
    number: int
    """From 1."""
    num_runs: int
    """Number of requested runs that are not done."""


@dataclass(frozen=True)
class CaseRunBusy:
    """Another process is training this run, so it is skipped here."""

    case: str
    seed: int


@dataclass(frozen=True)
class CaseRunFailed:
    """A run ended with an error; the study continues with the other runs."""

    case: str
    seed: int
    message: str


StudyEvent = CaseRunBegins | CaseRunBusy | CaseRunFailed | TrainEvent


class CaseStudyDir:
    """The folder of a study of several cases."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.plan_path = self.path / PLAN_FILE
        self.report_path = self.path / "clip_report.csv"
        self.labels_path = self.path / "labels.csv"
        self.table_folder = self.path / TABLE_FOLDER
        self.lock_path = self.path / LOCKS_FOLDER / "study"
        """Held while the study is created and its clips are checked."""

    def run_lock_path(self, case: str, seed: int) -> Path:
        """Lock that is held while a run is trained."""
        return self.path / LOCKS_FOLDER / f"{case}.seed-{seed}"

    def exists(self) -> bool:
        """Whether the folder has a plan."""
        return self.plan_path.is_file()

    def create(self, plan: StudyPlan) -> None:
        """Create the folder and write the plan, unless another process has just written the same plan. Raises
        `RunError` if the folder has other files, or a study with another plan.
        """
        # Another process that is creating the study makes the folder of locks first, so that is looked for last.
        is_used = self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))
        if is_used and not (self.path / LOCKS_FOLDER).is_dir() and not self.exists():
            raise RunError(
                f"output folder '{self.path}' holds something other than a study of cases; give another --out"
            )
        with wait_for_lock(self.lock_path):
            if not self.exists():
                for name, case in plan.cases.items():
                    self.case(name).path.mkdir(exist_ok=True)
                    write_atomically(self.case(name).path / "config.yaml", dump_yaml(case.config).encode())
                write_atomically(self.plan_path, dump_yaml(plan).encode())
        self.check_plan(plan)

    def write_labels(self, labels: LabelSet) -> None:
        """Write the classes, so that the study can be read without its data."""
        part = self.labels_path.with_suffix(f".{os.getpid()}.part")
        labels.to_csv(part)
        part.replace(self.labels_path)

    def check_plan(self, plan: StudyPlan) -> None:
        """Check that the study in the folder has this plan. Raises `RunError` if it would train something else."""
        keys = plan.differences(self.plan())
        if keys:
            named = ", ".join(keys[:MAX_KEYS_NAMED])
            more = f" and {len(keys) - MAX_KEYS_NAMED} more" if len(keys) > MAX_KEYS_NAMED else ""
            raise RunError(
                f"'{self.path}' holds a study of another plan (it differs in {named}{more}); "
                f"resume that one with --resume {self.path}, or give another --out"
            )

    def plan(self) -> StudyPlan:
        """The study's plan. Raises `RunError` if the folder is not a study of cases."""
        if not self.exists():
            kind = "a study of one config" if (self.path / "config.yaml").is_file() else "not a study of cases"
            raise RunError(
                f"'{self.path}' is {kind} (it has no study.yaml); name a folder made by: audio-dcls study CONFIG"
            )
        return build(StudyPlan, load_yaml(self.plan_path), str(self.plan_path))

    def case(self, name: str) -> StudyDir:
        """The runs of one case."""
        return StudyDir(self.path / name)

    def run(self, case: str, seed: int) -> RunDir:
        """One run."""
        return self.case(case).run(seed)

    def state(self, case: str, seed: int) -> State:
        """State of a run."""
        state = self.run(case, seed).status().get("state")
        if state in ("done", "failed"):
            return state
        return "to do" if state is None else "begun"


def train_cases(
    plan: StudyPlan,
    study: CaseStudyDir,
    runs: Sequence[tuple[str, int]],
    clips: TrainingClips,
    fabric: Any,
    stop: StopRequest | None = None,
) -> Iterator[StudyEvent]:
    """Train the runs that are not done yet, and resume from checkpoints if there are any.

    If the loss or gradient of a run is not finite, the failure is reported and the next run starts; with several
    processes the failure ends all of them. Runs, which are pairs of case and seed, are skipped if they are done or
    another process is training them. The plan has this machine's values of resumable keys; the fabric must be launched.
    """
    pending = [pair for pair in runs if fabric.broadcast(study.state(*pair)) != "done"]
    for number, (case, seed) in enumerate(pending, start=1):
        with _claimed(study, case, seed, fabric) as claim:
            if claim == "busy":
                yield CaseRunBusy(case, seed)
            if claim != "ours":
                continue
            yield CaseRunBegins(case, seed, number, len(pending))
            config = plan.cases[case].config.model_copy(update={"seeds": (seed,)})
            try:
                for event in train_study(config, study.case(case), clips, fabric, stop):
                    yield event
                    if isinstance(event, RunStopped):
                        return
            except RunError as error:
                if fabric.world_size > 1 or study.state(case, seed) != "failed":
                    raise
                yield CaseRunFailed(case, seed, str(error))


@contextlib.contextmanager
def _claimed(study: CaseStudyDir, case: str, seed: int, fabric: Any) -> Iterator[str]:
    """Lock a run, on rank 0 for all processes: "ours", "busy", or "done" if another process has finished it."""
    with contextlib.ExitStack() as stack:
        claim = "ours"
        if fabric.is_global_zero:
            if not stack.enter_context(try_lock(study.run_lock_path(case, seed))):
                claim = "busy"
            elif study.state(case, seed) == "done":
                claim = "done"
        yield fabric.broadcast(claim)
