"""`audio-dcls study`: train several cases over several seeds. `audio-dcls study table`: what came out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from audio_dcls.runs.usable_clips import TrainingClips
    from audio_dcls.training.reporting import TrainEvent
    from audio_dcls.training.studies.case_study import CaseStudyDir, StudyEvent
    from audio_dcls.training.studies.study_config import StudyPlan

RUN = "run"
HELP = (
    "Train several cases over several seeds and compare them.\n\n"
    "`audio-dcls study CONFIG` trains: it is short for `study run CONFIG`, whose options `study run --help` explains. "
    "Repeated, it leaves out the runs that are done and goes on with those that are begun.\n\n"
    "`audio-dcls study table DIR` prints and writes the table of what is there."
)


class RunByDefault(TyperGroup):
    """A group in which what is not the name of a command is an argument of `run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` before arguments that begin with neither a command nor a request for help."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [RUN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=RunByDefault, no_args_is_help=True, help=HELP)


@app.command(
    RUN, help="Train every case of a study file on every seed: what is done is left out, what is begun goes on."
)
def run(
    config: Annotated[
        str | None, typer.Argument(help="Study file, such as configs/paper/study.yaml.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Study folder (default: runs/NAME).")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="case=A,seed=N", help="Train this run alone, or one case, or one seed; may be repeated."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a config key in every case.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Study folder to go on with, in place of CONFIG.")] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Print the runs, as --only takes them, and train none.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Go on with a study that is begun without asking.")] = False,
) -> None:
    """Train the runs of a study one after another: every case's first seed, then every case's second, and so on.

    Stopped by a signal it saves everything and exits with code 75; the same command goes on.
    """
    from audio_dcls.training.interruption import STOPPED_EXIT_CODE
    from audio_dcls_cli.progress import say

    plan, study = _plan(config, out, set_ or [], resume)
    runs = plan.runs(only or ())
    if list_:
        for case, seed in runs:
            typer.echo(f"case={case},seed={seed}")
        return
    if study.exists() and all(study.state(*pair) == "done" for pair in runs):
        say(f"Every run asked for is already trained ([bold]{study.path}[/]).")
        return
    _confirm(plan, study, yes=yes)
    if not _train(plan, study, runs):
        raise typer.Exit(STOPPED_EXIT_CODE)


def _plan(
    config: str | None, out: Path | None, overrides: list[str], resume: Path | None
) -> tuple[StudyPlan, CaseStudyDir]:
    """The plan that the arguments mean, and the folder it is trained in."""
    from audio_dcls.errors import ConfigError
    from audio_dcls.training.initial_model import check_buildable
    from audio_dcls.training.studies.case_study import CaseStudyDir
    from audio_dcls.training.studies.study_config import load_study

    if resume is not None:
        given = [name for name, value in (("CONFIG", config), ("--out", out)) if value]
        if given:
            raise ConfigError(f"--resume takes its plan from '{resume}': leave out {', '.join(given)}")
        study = CaseStudyDir(resume)
        return study.plan().with_circumstances(overrides), study
    if config is None:
        raise ConfigError("name a study file, such as configs/paper/study.yaml, or a study folder by --resume")
    plan = load_study(config, overrides)
    for case in plan.cases.values():
        check_buildable(case.config)
    study = CaseStudyDir(out or Path("runs") / plan.name)
    if study.exists():
        study.check_plan(plan)
    return plan, study


def _confirm(plan: StudyPlan, study: CaseStudyDir, *, yes: bool) -> None:
    """In a terminal, ask before going on with a study that holds runs."""
    states = [study.state(*pair) for pair in plan.runs()] if study.exists() else []
    is_asked = sys.stdin.isatty() and os.environ.get("LOCAL_RANK", "0") == "0"  # not by each process of one training
    if yes or not is_asked or not any(state != "to do" for state in states):
        return
    done = f"{states.count('done')} of {len(states)} runs done"
    typer.confirm(f"Go on with the study {study.path} ({done})?", default=True, abort=True)


def _train(plan: StudyPlan, study: CaseStudyDir, runs: list[tuple[str, int]]) -> bool:
    """Train what is left of the runs, on every process; False if a signal stopped it."""
    from audio_dcls.training.distributed.failure import failing_together
    from audio_dcls.training.distributed.processes import build_fabric
    from audio_dcls.training.studies.case_study import CaseStudyDir
    from audio_dcls_cli.progress import quieten

    fabric = build_fabric(plan.shared.loop)
    fabric.launch()
    study = CaseStudyDir(fabric.broadcast(study.path))
    if not fabric.is_global_zero:
        quieten()
    with failing_together(fabric, lambda message: typer.echo(f"error: {message}", err=True)):
        return _train_here(plan, study, runs, fabric)


def _train_here(plan: StudyPlan, study: CaseStudyDir, runs: list[tuple[str, int]], fabric: Any) -> bool:
    from audio_dcls.errors import RunError
    from audio_dcls.training.distributed.processes import one_after_the_first
    from audio_dcls.training.interruption import StopRequest
    from audio_dcls.training.studies.case_study import train_cases
    from audio_dcls.training.studies.results import study_table
    from audio_dcls_cli.progress import say, show_coverage, show_events
    from audio_dcls_cli.study_table import show_table

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
        raise RunError(f"{len(failed)} of the runs failed: {', '.join(failed)}; why is said above, run by run")
    return True


def _headed(events: Iterable[StudyEvent], failed: list[str]) -> Iterator[TrainEvent]:
    """Print what a study says between its runs, and pass on what the runs say."""
    from audio_dcls.training.studies import case_study
    from audio_dcls_cli.progress import say, warn

    for event in events:
        match event:
            case case_study.CaseRunBegins():
                say(f"\n[bold]{event.case}, seed {event.seed}[/] (run {event.number} of {event.num_runs})")
            case case_study.CaseRunBusy():
                say(f"\n{event.case}, seed {event.seed}: another process is at work on it; left to that one")
            case case_study.CaseRunFailed():
                failed.append(f"case={event.case},seed={event.seed}")
                warn(event.message)
            case _:
                yield event


def _prepare(plan: StudyPlan, study: CaseStudyDir) -> TrainingClips:
    """Read the manifests and check their clips, once for all cases; one process at a time."""
    from audio_dcls.runs.locks import wait_for_lock
    from audio_dcls.runs.usable_clips import load_manifests, prepare_clips
    from audio_dcls_cli.progress import clip_progress, say

    data = plan.shared.data
    with wait_for_lock(study.lock_path, lambda: say("Waiting for another process, which is preparing the clips.")):
        total = data.demo_train_clips + data.demo_eval_clips if data.demo_folder is not None else None
        with clip_progress("Synthesising the demo corpus", total, quiet=total is None) as advance:
            manifest = load_manifests(data, on_progress=advance)
        study.write_labels(manifest.labels)
        with clip_progress("Checking clips", len(manifest.clips)) as advance:
            return prepare_clips(data, manifest, study.report_path, on_progress=advance)


@app.command("table", help="Print and write what a study has come to: mAP over seeds, costs, speed, what is missing.")
def table(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Study folder.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder to write to (default: DIR/table).")] = None,
    speed: Annotated[bool, typer.Option("--speed/--no-speed", help="Measure speed on this machine.")] = True,
    batch: Annotated[int, typer.Option(min=1, help="Clips in a batch, where speed is measured.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in which speed is measured.")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda, where speed is measured.")] = "auto",
    json_: Annotated[bool, typer.Option("--json", help="Print the table as one JSON object.")] = False,
) -> None:
    """Write table.md, table.csv, table.tex, table.json and table.png."""
    import json

    from audio_dcls.inspection import draw_study
    from audio_dcls.training.studies.case_study import CaseStudyDir
    from audio_dcls.training.studies.costs import SpeedSettings
    from audio_dcls.training.studies.results import study_table, write_table
    from audio_dcls_cli.progress import err, say
    from audio_dcls_cli.study_table import show_table

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
