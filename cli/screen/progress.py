"""What a user sees while a command runs: progress bars in a terminal, plain lines in a log file."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from pathlib import Path

    from audio_dcls.data.audit.report import ClipReport
    from audio_dcls.evaluation import TaggingMetrics
    from audio_dcls.runs.study_dir import StudyDir
    from audio_dcls.training.train_events import ClipFailed, RunStarted, StepDone, TrainEvent

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
MAX_PROBLEMS_SHOWN = 10


def quieten() -> None:
    """Print nothing but errors from now on; for the processes of a training other than rank 0."""
    out.quiet = err.quiet = True


def say(text: str) -> None:
    """Print one line of rich markup."""
    out.print(text, soft_wrap=True)


def warn(text: str) -> None:
    """Print an error on standard error, on one line, without markup."""
    err.print("[red bold]error:[/] ", end="")
    err.print(" ".join(text.split()), markup=False, soft_wrap=True)


@contextlib.contextmanager
def clip_progress(
    title: str, total: int | None, *, quiet: bool = False, is_logged: bool = False
) -> Iterator[Callable[[int], None]]:
    """A progress bar that counts clips; the function it gives takes the number done since its last call.

    Args:
        title: what is being done.
        total: number of clips.
        quiet: show no bar.
        is_logged: without a terminal, print a line after every tenth of the clips; for work that takes minutes.
    """
    if is_logged and not err.is_terminal and total:
        yield _logged(title, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)


def _logged(title: str, total: int) -> Callable[[int], None]:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if 10 * done // total > 10 * before // total:
            say(f"{title}: {done} of {total} clips")

    return advance


def show_coverage(report: ClipReport, path: Path) -> None:
    """Print how much of each split can be used, and the first clips that cannot, with their reasons."""
    for split, coverage in report.coverage().items():
        line = f"Clips, {split}: {coverage.num_usable} of {coverage.num_listed} usable"
        say(line if coverage.num_usable == coverage.num_listed else f"[yellow]{line}[/] ({coverage.fraction:.1%})")
    for problem in report.problems[:MAX_PROBLEMS_SHOWN]:
        out.print(f"  left out: {problem.id} ({problem.reason}): {problem.message}", markup=False, soft_wrap=True)
    if len(report.problems) > MAX_PROBLEMS_SHOWN:
        say(f"  … and {len(report.problems) - MAX_PROBLEMS_SHOWN} more")
    warnings = Counter(warning.reason for warning in report.clip_warnings)
    if warnings:
        say(f"  used, with a warning: {', '.join(f'{count} {kind}' for kind, count in warnings.most_common())}")
    if report.problems or warnings:
        say(f"  all of them: {path}")


def show_events(events: Iterable[TrainEvent], study: StudyDir, resume_command: str | None = None) -> tuple[int, bool]:
    """Show the events of a training until it ends.

    Args:
        events: the events of the training.
        study: the study that is being trained.
        resume_command: the command that resumes it, if it is not `train --resume`.

    Returns:
        The number of finished runs, and whether a signal stopped the training.

    If it is interrupted in the middle of a step, it prints how to resume.
    """
    view = _TrainingView()
    resume_command = resume_command or f"audio-dcls train --resume {study.path}"
    try:
        for event in events:
            view.show(event)
    except KeyboardInterrupt:
        view.close()
        say(f"\nStopped. Resume from the last checkpoint with: {resume_command}")
        raise
    finally:
        view.close()
    if view.is_stopped:
        say(f"Resume with: {resume_command}")
    return view.num_finished, view.is_stopped


class _TrainingView:
    """One bar per run, one line per evaluation."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.task = None
        self.start: RunStarted | None = None
        self.last: StepDone | None = None
        self.rate_ema = 0.0
        self.num_finished = self.num_failed = 0
        self.is_stopped = False

    def show(self, event: TrainEvent) -> None:
        """Draw one event."""
        from audio_dcls.training import train_events as events

        match event:
            case events.RunStarted():
                self._open(event)
            case events.NormalisationMismatch():
                say(f"[yellow]  {event}.[/] Measure them with `audio-dcls manifest frontend-stats` and include")
                say("  the file it writes in the config; keep them if the starting weights were trained with them.")
            case events.StepDone():
                self._advance(event)
            case events.StepSkipped():
                say(f"[yellow]  step {event.step} left out: loss or gradient not finite[/] (clips: {event.report})")
            case events.ClipFailed():
                self._name_failed(event)
            case events.CheckpointDamaged():
                say(f"[yellow]  {event.message}[/]")
            case events.RunStopped():
                self.close()
                self.is_stopped = True
                say(f"Stopped by {event.signal} after step {event.step} of seed {event.seed}; everything is saved.")
            case events.Evaluated():
                self._line(event.epoch, event.metrics)
            case events.RunFinished():
                self.close()
                self.num_finished += 1
                say(
                    f"Seed {event.seed} done: {_scores(event.metrics, bold=True)} on {event.metrics.num_clips} clips "
                    f"({event.folder})"
                )
                if event.num_failed_clips:
                    named = event.folder / "metrics.jsonl"
                    clips = _counted("training clip", event.num_failed_clips)
                    say(f"[yellow]  {clips} could not be read; {named} lists the steps[/]")

    def close(self) -> None:
        """Remove the bar."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def _open(self, event: RunStarted) -> None:
        self.start, self.last, self.num_failed = event, None, 0
        epochs = _counted("epoch", event.num_epochs)
        steps = _counted("step", event.num_steps // event.num_epochs)
        say(
            f"Seed {event.seed}: {event.num_train_clips} clips, {epochs} of {steps}, "
            f"{event.num_parameters / 1e6:.2f} M parameters"
            + (f", resumed from step {event.first_step}" if event.first_step else "")
        )
        say(f"  {event.layout}")
        if event.pretrained is not None:
            say(f"  weights: {event.pretrained} (all of them: {event.folder / 'pretrained.json'})")
        if event.emulates_bf16:
            say(
                "  note: this device has no bfloat16 instructions, so `loop.precision` (=bf16) is many times "
                "slower here than fp32; to change it, start a new study with --set loop.precision=fp32"
            )
        if event.teacher_coverage is not None:
            say(f"  teacher: logits of {event.teacher_coverage:.1%} of the training clips")
        columns = (
            TextColumn("seed {task.fields[seed]}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("epoch {task.fields[epoch]:.1f}/{task.fields[epochs]}  loss {task.fields[loss]:.4f}"),
            TextColumn("rate {task.fields[rate]:.1e}  {task.fields[speed]:.0f} clips/s  left"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        )
        self.progress = Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
        self.task = self.progress.add_task(
            "", total=event.num_steps, completed=event.first_step, seed=event.seed, epochs=event.num_epochs,
            epoch=0.0, loss=0.0, rate=0.0, speed=0.0,
        )  # fmt: skip
        self.progress.start()

    def _name_failed(self, event: ClipFailed) -> None:
        self.num_failed += 1
        if self.num_failed <= MAX_PROBLEMS_SHOWN:
            problem = event.problem
            text = f"  left out of step {event.step}: {problem.id} ({problem.reason}): {problem.message}"
            out.print(text, style="yellow", markup=False, soft_wrap=True)

    def _advance(self, event: StepDone) -> None:
        assert self.progress is not None and self.task is not None
        if not math.isfinite(event.loss):
            return
        self.rate_ema = event.clips_per_s if self.last is None else 0.9 * self.rate_ema + 0.1 * event.clips_per_s
        self.last = event
        self.progress.update(
            self.task, completed=event.step, epoch=event.epoch, loss=event.loss, rate=event.rate, speed=self.rate_ema
        )

    def _line(self, epoch: float, metrics: TaggingMetrics) -> None:
        assert self.start is not None and self.last is not None
        say(
            f"  epoch {epoch:>3.0f}/{self.start.num_epochs}  loss {self.last.loss:.4f}  rate {self.last.rate:.1e}"
            f"  {self.rate_ema:.0f} clips/s  {_scores(metrics)}"
        )


def _scores(metrics: TaggingMetrics, *, bold: bool = False) -> str:
    """The scores that training prints: the mAP, and the accuracy if there is one."""
    mark = "[bold]{:.3f}[/]" if bold else "{:.3f}"
    return "  ".join(f"{title} {mark.format(value)}" for title, value in metrics.shown_in_training().items())


def _counted(noun: str, number: int) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
