"""Log the numbers of a run: metrics.jsonl, status.json, TensorBoard, and other loggers that the config names."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from audio_dcls.errors import ConfigError
from audio_dcls.evaluation.metrics import TaggingMetrics
from audio_dcls.extras import need_package
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.run_dir import RunDir

Sink = Callable[[Mapping[str, float], int], None]


class Logbook:
    """The log of a running training; only rank 0, where `is_first` is True, writes.

    Log lines of steps after `first_step`, which the run resumes from, are dropped.
    """

    def __init__(self, run_dir: RunDir, config: TrainConfig, seed: int, first_step: int, *, is_first: bool) -> None:
        self.run_dir, self.first_step, self.is_first = run_dir, first_step, is_first
        self.config, self.name = config, f"{run_dir.path.parent.name}-seed-{seed}"
        self.document = config.model_dump(mode="json") | {"seed": seed}
        self.sinks: list[Sink] = []
        self.stack = ExitStack()

    def __enter__(self) -> Logbook:
        if self.is_first:
            self.run_dir.drop_metrics_after(self.first_step)
            for name in self.config.loop.loggers:
                self.sinks.append(_OPENERS[name](self))
        return self

    def __exit__(self, *_: Any) -> None:
        self.stack.close()

    def record(
        self, group: str, values: Mapping[str, float], step: int, epoch: float, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Log the values of one step under `group`, "train" or "eval"; `facts` are added to "eval" in the file."""
        if not self.is_first:
            return
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        line = {"step": step, "epoch": epoch}
        self.run_dir.append_metrics(line | ({"eval": {**finite, **(facts or {})}} if group == "eval" else finite))
        for sink in self.sinks:
            sink({f"{group}/{name}": value for name, value in values.items()}, step)

    def record_scores(self, metrics: TaggingMetrics, step: int, epoch: float) -> None:
        """Log an evaluation."""
        scores, clips = metrics.scores, metrics.clip_set()
        self.record("eval", scores, step, epoch, clips)
        self.status(last_evaluation={"step": step, **scores, **clips})

    def note(self, record: Mapping[str, Any]) -> None:
        """Append a line to metrics.jsonl; it must have `step`."""
        if self.is_first:
            self.run_dir.append_metrics(record)

    def status(self, **fields: Any) -> None:
        """Update status.json."""
        if self.is_first:
            self.run_dir.write_status(**fields)


def _need_logger(name: str) -> Any:
    """Import the package of a logger."""
    try:
        return need_package(name, name, ConfigError)
    except ConfigError as error:
        raise ConfigError(f"`loop.loggers` names '{name}': {error}") from error


def _open_tensorboard(book: Logbook) -> Sink:
    board = book.stack.enter_context(
        SummaryWriter(str(book.run_dir.tensorboard_folder), purge_step=book.first_step + 1)
    )

    def write(values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            board.add_scalar(name, value, step)

    return write


def _open_wandb(book: Logbook) -> Sink:
    wandb = _need_logger("wandb")
    names = {"project": book.config.name, "name": book.name, "id": book.name}
    folder = os.environ.get("WANDB_DIR") or book.run_dir.path
    try:
        run = wandb.init(**names, resume="allow", config=book.document, dir=folder)
    except wandb.Error as error:
        raise ConfigError(
            f"`loop.loggers` names 'wandb', which is not available ({error}): run `wandb login`, set "
            "WANDB_MODE=offline, or remove it"
        ) from error
    book.stack.callback(run.finish)
    return lambda values, step: run.log(dict(values), step=step)


def _open_mlflow(book: Logbook) -> Sink:
    mlflow = _need_logger("mlflow")
    try:
        mlflow.set_experiment(book.config.name)
        run = mlflow.start_run(run_id=book.run_dir.status().get("mlflow_run"), run_name=book.name)
        book.stack.callback(mlflow.end_run)
        mlflow.log_dict(book.document, "config.json")
    except (mlflow.exceptions.MlflowException, ImportError) as error:
        raise ConfigError(
            f"`loop.loggers` names 'mlflow', which is not available ({error}): set MLFLOW_TRACKING_URI to the "
            "address of your server, or remove it"
        ) from error
    book.status(mlflow_run=run.info.run_id)
    return lambda values, step: mlflow.log_metrics(dict(values), step=step, run_id=run.info.run_id)


_OPENERS: dict[str, Callable[[Logbook], Sink]] = {
    "tensorboard": _open_tensorboard,
    "wandb": _open_wandb,
    "mlflow": _open_mlflow,
}
