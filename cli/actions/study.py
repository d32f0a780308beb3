"""`audio-dcls study`: train several cases over several seeds. `audio-dcls study table`: what came out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from audio_dcls.errors import ConfigError, RunError
from audio_dcls.inspection import draw_study
from audio_dcls.runs.locks import wait_for_lock
from audio_dcls.runs.training_clips import TrainingClips, load_manifests, prepare_clips
from audio_dcls.training.distributed.failure import failing_together
from audio_dcls.training.distributed.processes import build_fabric, one_after_the_first
from audio_dcls.training.initial_model import check_buildable
from audio_dcls.training.interruption import STOPPED_EXIT_CODE, StopRequest
from audio_dcls.training.studies import case_study
from audio_dcls.training.studies.case_study import CaseStudyDir, StudyEvent, train_cases
from audio_dcls.training.studies.costs import SpeedSettings
from audio_dcls.training.studies.results import study_table, write_table
from audio_dcls.training.studies.study_config import StudyPlan, load_study
from audio_dcls.training.train_events import TrainEvent
from audio_dcls_cli.screen.progress import clip_progress, err, quieten, say, show_coverage, show_events, warn
from audio_dcls_cli.screen.study_table import show_table


def run(
    *,
    config: str | None,
    out: Path | None,
    only: list[str] | None,
    set_: list[str] | None,
    resume: Path | None,
    list_: bool,
    yes: bool,
) -> None:
    """Train the runs of a study one after another: every case's first seed, then every case's second, and so on."""
    plan, study = _plan(config, out, set_ or [], resume)
    runs = plan.runs(only or ())
    if list_:
        for case, seed in runs:
            typer.echo(f"case={case},seed={seed}")
        return
    if study.exists() and all(study.state(*pair) == "done" for pair in runs):
        say(f"Every requested run is already trained ([bold]{study.path}[/]).")
        return
    _confirm(plan, study, yes=yes)
    if not _train(plan, study, runs):
        raise typer.Exit(STOPPED_EXIT_CODE)


def _plan(
    config: str | None, out: Path | None, overrides: list[str], resume: Path | None
) -> tuple[StudyPlan, CaseStudyDir]:
    """The plan that the arguments describe, and the folder of its study."""
    if resume is not None:
        given = [name for name, value in (("CONFIG", config), ("--out", out)) if value]
        if given:
            raise ConfigError(f"--resume takes its plan from '{resume}': leave out {', '.join(given)}")
        study = CaseStudyDir(resume)
        return study.plan().override_resumable_keys(overrides), study
    if config is None:
        raise ConfigError("name a study file, such as configs/paper/study.yaml, or a study folder with --resume")
    plan = load_study(config, overrides)
    for case in plan.cases.values():
        check_buildable(case.config)
    study = CaseStudyDir(out or Path("runs") / plan.name)
    if study.exists():
        study.check_plan(plan)
    return plan, study


def _confirm(plan: StudyPlan, study: CaseStudyDir, *, yes: bool) -> None:
    """In a terminal, ask before resuming a study that has runs."""
    states = [study.state(*pair) for pair in plan.runs()] if study.exists() else []
    is_asked = sys.stdin.isatty() and os.environ.get("LOCAL_RANK", "0") == "0"  # only rank 0 asks
    if yes or not is_asked or not any(state != "to do" for state in states):
        return
    done = f"{states.count('done')} of {len(states)} runs done"
    typer.confirm(f"Resume the study {study.path} ({done})?", default=True, abort=True)


def _train(plan: StudyPlan, study: CaseStudyDir, runs: list[tuple[str, int]]) -> bool:
    """Train the unfinished runs, on every process; return False if a signal stopped it."""
    fabric = build_fabric(plan.shared.loop)
    fabric.launch()
    study = CaseStudyDir(fabric.broadcast(study.path))
    if not fabric.is_global_zero:
        quieten()
    with failing_together(fabric, lambda message: typer.echo(f"error: {message}", err=True)):
        return _train_here(plan, study, runs, fabric)


def _train_here(plan: StudyPlan, study: CaseStudyDir, runs: list[tuple[str, int]], fabric: Any) -> bool:
    with one_after_the_first(fabric):
        if fabric.is_global_zero:
            study.create(plan)
        clips = _prepare(plan, study)
    show_coverage(clips.report, study.report_path)
    failed: list[str] = []
    with StopRequest() as stop:
        events = _headed(train_cases(plan, study, runs, clips, fabric, stop), failed)
        _, is_stopped = show_events(events, study.case(runs[0][0]), f"audio-dcls study --resume {study.path}")
    if is_stopped:
        return False
    done = sum(study.state(*pair) == "done" for pair in plan.runs())
    say(f"Study: [bold]{study.path}[/]   {done} of {len(plan.runs())} runs done")
    if fabric.is_global_zero and len(runs) == len(plan.runs()):
        show_table(study_table(study))
    say(f"next: audio-dcls study table {study.path}")
    if failed:
        raise RunError(f"{len(failed)} of the runs failed: {', '.join(failed)}; the reason of each is printed above")
    return True


def _headed(events: Iterable[StudyEvent], failed: list[str]) -> Iterator[TrainEvent]:
    """Print the events between runs, and pass on those of the runs."""
    for event in events:
        match event:
            case case_study.CaseRunBegins():
                say(f"\n[bold]{event.case}, seed {event.seed}[/] (run {event.number} of {event.num_runs})")
            case case_study.CaseRunBusy():
                say(f"\n{event.case}, seed {event.seed}: another process is training it; skipped here")
            case case_study.CaseRunFailed():
                failed.append(f"case={event.case},seed={event.seed}")
                warn(event.message)
            case _:
                yield event


def _prepare(plan: StudyPlan, study: CaseStudyDir) -> TrainingClips:
    """Read the manifests and check their clips, once for all cases; one process at a time."""
    data = plan.shared.data
    with wait_for_lock(study.lock_path, lambda: say("Waiting for another process that is preparing the clips.")):
        total = data.demo_train_clips + data.demo_eval_clips if data.demo_folder is not None else None
        with clip_progress("Synthesising the demo corpus", total, quiet=total is None) as advance:
            manifest = load_manifests(data, on_progress=advance)
        study.write_labels(manifest.labels)
        with clip_progress("Checking clips", len(manifest.clips)) as advance:
            return prepare_clips(data, manifest, study.report_path, on_progress=advance)


def table(*, folder: Path, out: Path | None, speed: bool, batch: int, rounds: int, device: str, json_: bool) -> None:
    """Write table.md, table.csv, table.tex, table.json and table.png."""
    study = CaseStudyDir(folder)
    settings = SpeedSettings(batch=batch, num_rounds=rounds, device=device) if speed else None
    with err.status("reading the study") as status:
        found = study_table(study, settings, status.update)
    target = out or study.table_folder
    files = write_table(found, target)
    files.append(target / "table.png")
    draw_study(found).savefig(files[-1], dpi=150)
    if json_:
        typer.echo(json.dumps(found.to_json_dict()))
        return
    show_table(found)
    say(f"written: {', '.join(map(str, files))}")
