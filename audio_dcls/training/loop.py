"""The training loop: explicit, on Lightning Fabric; it reports through events and the run directory."""

from __future__ import annotations

import functools
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import torch

from audio_dcls.data.loading.loader import eval_loader
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.dcls.history_files import drop_records_after, write_record
from audio_dcls.dcls.parameters import clamp_positions, count_outside
from audio_dcls.evaluation.metrics import TaggingMetrics, tagging_metrics
from audio_dcls.evaluation.predict import predict
from audio_dcls.models.device import has_bf16
from audio_dcls.models.layers.sync_norm import synchronise_norms
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.runs.training_clips import TrainingClips, build_dataset
from audio_dcls.training import train_events as events
from audio_dcls.training.checkpointing import CheckpointClock, CheckpointWriter, restore
from audio_dcls.training.distributed.gather import gather_items, gather_predictions, peak_memory_mib
from audio_dcls.training.initial_model import build_initial_model
from audio_dcls.training.interruption import StopRequest
from audio_dcls.training.learning.averaging import WeightAverage
from audio_dcls.training.learning.distillation import build_distillation
from audio_dcls.training.learning.frozen_backbone import build_freeze
from audio_dcls.training.learning.losses import build_loss
from audio_dcls.training.learning.optim import build_optimizer, build_schedule
from audio_dcls.training.logbook import Logbook
from audio_dcls.training.nonfinite_clips import nonfinite_error, report_nonfinite_step
from audio_dcls.training.normalisation import check_normalisation
from audio_dcls.training.prepare import prepare_run
from audio_dcls.training.step import StepRunner
from audio_dcls.training.train_events import StepDone, TrainEvent


class Trainer:
    """One run: a study's config and a seed, trained into a run directory.

    If the directory has a checkpoint, training resumes from it. The fabric must be launched. Without a stop request the
    run never stops early.
    """

    def __init__(
        self,
        config: TrainConfig,
        seed: int,
        clips: TrainingClips,
        run_dir: RunDir,
        fabric: Any,
        stop: StopRequest | None = None,
    ) -> None:
        self.config, self.seed, self.clips, self.run_dir, self.fabric = config, seed, clips, run_dir, fabric
        self.stop = stop or StopRequest()
        is_begun = bool(run_dir.checkpoints())
        build_model = functools.partial(build_initial_model, config, seed, clips, is_begun=is_begun)
        self.prepared = prepare_run(config, seed, clips.train, len(clips.labels), fabric, build_model, run_dir)
        self.steps_per_epoch, self.num_steps = self.prepared.steps_per_epoch, self.prepared.num_steps
        self.eval_set = build_dataset(config, clips.eval, len(clips.labels))
        self.monitored_set = self.eval_set
        if clips.validation:
            self.monitored_set = build_dataset(config, clips.validation, len(clips.labels))
        model = self.prepared.model
        if fabric.world_size > 1:
            synchronise_norms(model, fabric.device)
        lengths = {"steps_per_epoch": self.steps_per_epoch, "num_steps": self.num_steps}
        optimizer = build_optimizer(model, config.optimizer)
        self.schedule = build_schedule(optimizer, config.optimizer, **lengths)
        self.average = None if config.averaging is None else WeightAverage(model, config.averaging, **lengths)
        self.first_step, self.damages = restore(run_dir, model, optimizer, self.average)
        self.sampler = self.prepared.sampler(self.first_step, self.num_steps - self.first_step)
        self.raw_model, self.raw_optimizer = model, optimizer
        self.model, self.optimizer = fabric.setup(model, optimizer)
        loss = build_loss(config.loss)
        self.distillation = build_distillation(config, clips, loss)
        self.runner = StepRunner(
            fabric,
            self.model,
            self.optimizer,
            sampler=self.sampler,
            mixup=config.augment,
            augmentation=self.prepared.dataset.augmentation,
            clip_gradient_norm=config.optimizer.clip_gradient_norm,
            seed=seed,
            loss=loss,
            distillation=self.distillation,
            freeze=build_freeze(model, config.optimizer, self.steps_per_epoch, num_processes=fabric.world_size),
        )
        self.clock = CheckpointClock(config.loop, self.steps_per_epoch, self.num_steps)
        self.writer = CheckpointWriter(run_dir, config, clips, seed)
        self.num_skipped = run_dir.num_skipped(self.first_step)
        self.failed_clips: set[str] = set()
        self.metrics: TaggingMetrics | None = None

    def run(self) -> Iterator[TrainEvent]:
        """Train to the last step, yielding events; stopping the iteration leaves the last checkpoint intact.

        Raises:
            RunError: a loss or gradient was not finite, or a checkpoint cannot be written.
        """
        yield from self._before_first_step()
        first = self.fabric.is_global_zero
        with Logbook(self.run_dir, self.config, self.seed, self.first_step, is_first=first) as book:
            book.status(state="running", seed=self.seed, step=self.first_step, num_steps=self.num_steps)
            self._begin_positions()
            batches = iter(self.prepared.batches(self.sampler))
            for step in range(self.first_step, self.num_steps):
                done = yield from self._train_step(step, batches, book)
                self._record_positions(done.step)
                if self._evaluates_after(done.step):
                    yield from self._evaluate(done, book)
                stopped, due = self._agree(done.step)
                if due or stopped:
                    yield events.CheckpointWritten(done.step, self._write_checkpoint(done))
                if stopped and done.step < self.num_steps:
                    book.status(state="stopped", step=done.step, signal=self.stop.name)
                    signal = self.stop.name or "another process"
                    yield events.RunStopped(self.seed, done.step, self.run_dir.path, signal)
                    return
            metrics = self.metrics
            if metrics is None or self.monitored_set is not self.eval_set:
                metrics = self.evaluate(self.eval_set)
                book.record_scores(metrics, self.num_steps, self.config.loop.epochs)
            num_failed = len(set(gather_items(self.fabric, list(self.failed_clips))))
            book.status(
                state="done", step=self.num_steps, skipped_steps=self.num_skipped, failed_train_clips=num_failed
            )
        yield events.RunFinished(self.seed, self.run_dir.path, metrics, num_failed)

    def evaluate(self, dataset: ClipDataset) -> TaggingMetrics:
        """Score every clip once, with the current weights or their average, over all processes."""
        fabric, loop = self.fabric, self.config.loop
        loader = eval_loader(
            dataset,
            self.prepared.layout.per_device_batch,
            num_workers=self.config.data.num_workers,
            rank=fabric.global_rank,
            num_ranks=fabric.world_size,
        )
        activation, bf16 = self.config.loss.activation, loop.precision == "bf16"
        own = predict(self.measured_model, loader, fabric.device, bf16=bf16, activation=activation)
        predictions = gather_predictions(fabric, own)
        clip_ids = dataset.clips.ids.take(predictions.indices).to_list()
        return tagging_metrics(predictions.targets, predictions.scores, clip_ids)

    @property
    def measured_model(self) -> Any:
        """The average of the weights if there is one, else the trained model."""
        return self.raw_model if self.average is None else self.average.model

    def _before_first_step(self) -> Iterator[TrainEvent]:
        """Describe the run, and check the normalisation once per study, on rank 0 of its first run."""
        pretrained = self.raw_model.pretrained_report
        yield events.RunStarted(
            seed=self.seed,
            folder=self.run_dir.path,
            first_step=self.first_step,
            num_steps=self.num_steps,
            num_epochs=self.config.loop.epochs,
            num_train_clips=len(self.prepared.dataset),
            num_eval_clips=len(self.eval_set),
            num_parameters=self.prepared.num_parameters,
            layout=self.prepared.layout,
            pretrained=pretrained,
            teacher_coverage=None if self.distillation is None else self.distillation.teacher.coverage,
            emulates_bf16=self.config.loop.precision == "bf16" and not has_bf16(self.fabric.device),
        )
        if self.first_step == 0 and self.seed == self.config.seeds[0] and self.fabric.is_global_zero:
            mismatch = check_normalisation(self.config, self.clips, self.fabric.device)
            if mismatch is not None:
                yield mismatch
        for message in self.damages:
            yield events.CheckpointDamaged(message)
        if pretrained is not None and self.fabric.is_global_zero:
            self.run_dir.write_json("pretrained.json", pretrained.to_json_dict())

    def _train_step(self, step: int, batches: Iterator[Any], book: Logbook) -> Generator[TrainEvent, None, StepDone]:
        """Do one step and log it; a step that is not finite is reported, and skipped if the config says so."""
        self.schedule.step_update(step)
        rate = self.raw_optimizer.param_groups[0]["lr"]
        started_s = time.perf_counter()
        result = self.runner.run(step, batches)
        took_s = time.perf_counter() - started_s
        number, epoch = step + 1, (step + 1) / self.steps_per_epoch
        if not result.is_finite:
            self._report_nonfinite(step, book)
            yield events.StepSkipped(number, self.run_dir.nonfinite_path(number))
            done = StepDone.skipped(number, epoch)
            yield done
            return done
        dcls = self.config.model.dcls
        if dcls is not None and dcls.clamping == "step":
            clamp_positions(self.raw_model)
        if self.average is not None:
            self.average.update(self.raw_model, number)
        new_failures = {problem.id: problem for problem in result.failures if problem.id not in self.failed_clips}
        self.failed_clips |= new_failures.keys()
        for problem in result.failures:
            book.note({"step": number, "failed_clip": problem.id, "reason": problem.reason})
        done = StepDone(
            step=number,
            epoch=epoch,
            loss=result.loss,
            rate=rate,
            gradient_norm=result.gradient_norm,
            clips_per_s=result.num_clips / took_s,
            data_wait_share=min(1.0, result.data_wait_s / took_s),
            num_failed_clips=len(result.failures),
        )
        self._log_step(done, book)
        for problem in new_failures.values():
            yield events.ClipFailed(number, problem)
        yield done
        return done

    def _log_step(self, done: StepDone, book: Logbook) -> None:
        if done.step % self.config.loop.log_every_steps and done.step != self.num_steps:
            return
        names = ("loss", "rate", "gradient_norm", "clips_per_s", "data_wait_share")
        record: dict[str, float] = {name: getattr(done, name) for name in names}
        record["peak_memory_mib"] = peak_memory_mib(self.fabric.device)
        if self.config.model.dcls is not None:
            record["elements_outside"] = count_outside(self.raw_model)
        book.record("train", record, done.step, done.epoch)
        book.status(state="running", step=done.step, epoch=done.epoch, loss=done.loss)

    def _report_nonfinite(self, step: int, book: Logbook) -> None:
        """Name the clips of a step that was not finite; stop the run unless the config says to skip the step."""
        self.num_skipped += 1
        book.status(skipped_steps=self.num_skipped)
        own_clips = self.sampler.global_batch(step)[self.fabric.global_rank :: self.fabric.world_size]
        found = report_nonfinite_step(
            self.run_dir,
            self.fabric,
            self.raw_model,
            self.prepared.dataset,
            own_clips,
            self.runner.loss,
            step=step + 1,
            epoch=step // self.steps_per_epoch,
        )
        book.note({"step": step + 1, "nonfinite": [clip["id"] for clip in found]})
        if self.config.loop.nonfinite == "stop":
            book.status(state="failed", step=step)
            raise nonfinite_error(self.run_dir, step + 1, found)

    def _begin_positions(self) -> None:
        """Drop the records of element positions that were written after the checkpoint this run resumes from."""
        if self.fabric.is_global_zero:
            drop_records_after(self.run_dir.positions_folder, self.first_step)
        if self.first_step == 0:
            self._record_positions(0)

    def _record_positions(self, step: int) -> None:
        """Record the positions of the elements after every epoch."""
        if self.fabric.is_global_zero and (step % self.steps_per_epoch == 0 or step == self.num_steps):
            write_record(self.run_dir.positions_folder, self.raw_model, step)

    def _evaluates_after(self, num_done: int) -> bool:
        epoch, remainder = divmod(num_done, self.steps_per_epoch)
        every = self.config.loop.evaluate_every_epochs
        return num_done == self.num_steps or (remainder == 0 and every > 0 and epoch % every == 0)

    def _evaluate(self, done: StepDone, book: Logbook) -> Iterator[TrainEvent]:
        """Evaluate, log the scores, and keep the model if it is the best one on the validation splits."""
        self.metrics = self.evaluate(self.monitored_set)
        book.record_scores(self.metrics, done.step, done.epoch)
        yield events.Evaluated(done.step, done.epoch, self.metrics)
        if self.monitored_set is not self.eval_set and self.fabric.is_global_zero:
            self.writer.write_best(self.measured_model, step=done.step, epoch=done.epoch, metrics=self.metrics)

    def _agree(self, num_done: int) -> tuple[bool, bool]:
        """Whether to stop and whether to write a checkpoint: yes if any process says so."""
        votes = torch.tensor([self.stop.name is not None, self.clock.is_due(num_done)], dtype=torch.float32)
        if self.fabric.world_size > 1:
            votes = self.fabric.all_reduce(votes.to(self.fabric.device), reduce_op="sum")
        stopped, due = (votes > 0).tolist()
        return stopped, due

    def _write_checkpoint(self, done: StepDone) -> Path:
        """Write a checkpoint on rank 0; the other processes wait for it."""
        folder = self.run_dir.checkpoint_path(done.step)
        if self.fabric.is_global_zero:
            parts = self.raw_model, self.raw_optimizer, self.average
            folder = self.writer.write(*parts, step=done.step, epoch=done.epoch, metrics=self.metrics)
        self.fabric.barrier()
        self.clock.restart()
        return folder
