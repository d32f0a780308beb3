"""Describe a run by what its folder holds: its progress, its curves, its scores per class."""

from __future__ import annotations

import dataclasses
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audio_dcls.runs.run_files import read_metrics, read_per_class
from audio_dcls.service.runs.launcher import START_MARK
from audio_dcls.service.runs.queue import ACTIVE, RunEntry
from audio_dcls.service.runs.run_folder import SeedFolder, number, read_tail, seed_folders, whole_number
from audio_dcls.service.runs.schemas import (
    ClassScores,
    EvalSeries,
    PerClass,
    RunMetrics,
    RunView,
    ScoreSummary,
    SeedSeries,
    SeedView,
    TrainSeries,
)

MAX_POINTS = 2000
"""A longer curve is sent thinned to about this number of points; the last point is always sent."""
_NUM_RECENT = 20
"""The time left is estimated from the speed of this number of logged steps."""
_RECENT_BYTES = 64 * 1024
"""Enough for the last hundred lines of metrics.jsonl."""
_ERROR_LINES = 400
"""The number of lines at the end of a log that are searched for the reason why a run ended."""
_TRACE_START = "Traceback (most recent call last):"
_RAISED = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit)\b")
_MAX_STEPS = 2**53
"""A larger number of steps is taken as damage."""


@dataclass(frozen=True)
class Progress:
    """The progress of a run over all its seeds."""

    num_seeds: int
    num_done: int
    num_steps_done: int

    @property
    def is_done(self) -> bool:
        """True if every seed reached its last step."""
        return 0 < self.num_seeds == self.num_done


def read_progress(entry: RunEntry) -> Progress:
    """The progress of a run, from the status files of its seeds."""
    statuses = [folder.status() for folder in seed_folders(entry)]
    return Progress(
        num_seeds=len(statuses),
        num_done=sum(status.get("state") == "done" for status in statuses),
        num_steps_done=sum(_steps(status.get("step")) or 0 for status in statuses),
    )


def logged_error(log: Path) -> str | None:
    """The reason why the process of the last start ended: its line `error: …`, or the last line of its trace."""
    lines = [line.strip() for line in read_tail(log, _ERROR_LINES)]
    starts = [index for index, line in enumerate(lines) if line.startswith(START_MARK)]
    lines = [line for line in lines[starts[-1] + 1 if starts else 0 :] if line]
    if not lines:
        return None
    if lines[-1].startswith("error: "):
        return lines[-1].removeprefix("error: ")
    return lines[-1] if _TRACE_START in lines and _RAISED.match(lines[-1]) else None


def describe_run(entry: RunEntry, *, position: int | None = None, models: Sequence[str] = ()) -> RunView:
    """A run in the form in which the service sends it, with its place in the queue and the models made from it."""
    folders = seed_folders(entry)
    seeds = [_describe_seed(folder, is_active=entry.state in ACTIVE) for folder in folders]
    shares = [_share(seed) for seed in seeds]
    has_cases = len({folder.case for folder in folders}) > 1
    return RunView(
        **{name: value for name, value in dataclasses.asdict(entry).items() if name in RunView.model_fields},
        position=position,
        seeds=seeds,
        progress=1.0 if entry.state == "done" else sum(shares) / len(shares) if shares else 0.0,
        time_left_s=_time_left_s(folders, seeds) if entry.state == "running" else None,
        mAP=None if has_cases else _summary(seeds),
        has_per_class=any(folder.per_class_path.is_file() for folder in folders),
        models=list(models),
    )


def read_curves(entry: RunEntry) -> RunMetrics:
    """The curves of the seeds that have begun."""
    series = []
    for folder in seed_folders(entry):
        train, evaluated = TrainSeries(), EvalSeries()
        for line in read_metrics(folder.metrics_path):
            if "eval" in line and isinstance(line["eval"], dict):
                evaluated.step.append(line["step"])
                evaluated.epoch.append(number(line.get("epoch")))
                evaluated.mAP.append(number(line["eval"].get("mAP")))
            elif "loss" in line:
                train.step.append(line["step"])
                for name in ("epoch", "loss", "rate", "clips_per_s"):
                    getattr(train, name).append(number(line.get(name)))
        if train.step or evaluated.step:
            series.append(SeedSeries(seed=folder.seed, case=folder.case, train=_thinned(train), eval=evaluated))
    return RunMetrics(series=series)


def read_class_scores(entry: RunEntry) -> PerClass:
    """Average precision per class, for every seed that is measured."""
    classes: dict[str, ClassScores] = {}
    for folder in seed_folders(entry):
        for row in read_per_class(folder.per_class_path):
            scores = classes.setdefault(
                row["mid"],
                ClassScores(id=row["mid"], name=row.get("display_name") or row["mid"], seeds={}, num_clips=None),
            )
            scores.seeds[folder.key] = _parsed(row.get("average_precision"))
            num_clips = _parsed(row.get("num_positives"))
            scores.num_clips = scores.num_clips if num_clips is None else int(num_clips)
    return PerClass(classes=list(classes.values()))


def _describe_seed(folder: SeedFolder, *, is_active: bool) -> SeedView:
    status = folder.status()
    state = status.get("state")
    state = state if isinstance(state, str) and state in ("running", "stopped", "done", "failed") else "waiting"
    last = status.get("last_evaluation")
    step, num_steps = _steps(status.get("step")) or 0, _steps(status.get("num_steps"))
    epoch = number(status.get("epoch")) or 0.0
    if folder.num_epochs and num_steps:  # the step is written more often than the epoch
        epoch = folder.num_epochs * min(1.0, step / num_steps)
    return SeedView(
        seed=folder.seed,
        case=folder.case,
        state="stopped" if state == "running" and not is_active else state,
        step=step,
        num_steps=num_steps,
        epoch=float(folder.num_epochs or 0) if state == "done" else epoch,
        num_epochs=folder.num_epochs,
        loss=number(status.get("loss")),
        mAP=number(last.get("mAP")) if isinstance(last, dict) else None,
    )


def _share(seed: SeedView) -> float:
    """The part of its steps that a seed has done, 0 to 1."""
    if seed.state == "done":
        return 1.0
    return min(1.0, seed.step / seed.num_steps) if seed.num_steps else 0.0


def _time_left_s(folders: Sequence[SeedFolder], seeds: Sequence[SeedView]) -> float | None:
    """The time that the remaining steps of all seeds take at the recent speed; None if it cannot be estimated yet."""
    known = [seed.num_steps for seed in seeds if seed.num_steps]
    running = [folder for folder, seed in zip(folders, seeds, strict=True) if seed.state == "running"]
    if not known or not running or not running[0].batch:
        return None
    lines = read_metrics(running[0].metrics_path, last_bytes=_RECENT_BYTES)
    speeds = [speed for speed in [number(line.get("clips_per_s")) for line in lines][-_NUM_RECENT:] if speed]
    if not speeds:
        return None
    steps = sum((seed.num_steps or max(known)) - seed.step for seed in seeds if seed.state != "done")
    return max(0, steps) * running[0].batch / statistics.median(speeds)


def _summary(seeds: Sequence[SeedView]) -> ScoreSummary | None:
    scores = [seed.mAP for seed in seeds if seed.state == "done" and seed.mAP is not None]
    if not scores:
        return None
    std = statistics.stdev(scores) if len(scores) > 1 else None
    return ScoreSummary(mean=statistics.fmean(scores), std=std, num_seeds=len(scores))


def _thinned(series: TrainSeries) -> TrainSeries:
    every = -(-len(series.step) // MAX_POINTS)
    if every <= 1:
        return series
    kept = sorted({*range(0, len(series.step), every), len(series.step) - 1})
    return TrainSeries(**{name: [column[index] for index in kept] for name, column in series})


def _parsed(text: str | None) -> float | None:
    """A number from a cell of a CSV file."""
    try:
        return number(float(text or ""))
    except ValueError:
        return None


def _steps(value: object) -> int | None:
    found = whole_number(value)
    return None if found is None or found > _MAX_STEPS else found
