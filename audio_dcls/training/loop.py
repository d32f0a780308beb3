"""The training loop: explicit, on Lightning Fabric; what it does is said through events and the run directory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from audio_dcls.data.audit.check import ClipProblem
from audio_dcls.data.loading.fetch_ahead import build_fetch_ahead
from audio_dcls.data.loading.loader import eval_loader, train_loader
from audio_dcls.data.loading.sampler import StepBatchSampler
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.dcls.history_files import drop_records_after, write_record
from audio_dcls.dcls.parameters import clamp_positions, count_outside
from audio_dcls.errors import RunError
from audio_dcls.evaluation.metrics import TaggingMetrics, tagging_metrics
from audio_dcls.evaluation.predict import predict
from audio_dcls.inference.backends import has_bf16
from audio_dcls.models.sync_norm import synchronise_norms
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.runs.usable_clips import TrainingClips, build_dataset
from audio_dcls.training import reporting as events
from audio_dcls.training.checkpointing import CheckpointClock, restore, write_best, write_checkpoint
from audio_dcls.training.clip_order import build_order
from audio_dcls.training.distributed.batch_layout import build_layout, check_one_step, find_per_device_batch
from audio_dcls.training.distributed.exchange import gather_items, gather_predictions, peak_memory_mib
from audio_dcls.training.initial_model import build_start
from audio_dcls.training.interruption import StopRequest
from audio_dcls.training.learning.averaging import WeightAverage
from audio_dcls.training.learning.distillation import build_distillation
from audio_dcls.training.learning.frozen_backbone import build_freeze
from audio_dcls.training.learning.losses import build_loss
from audio_dcls.training.learning.optim import build_optimizer, build_schedule
from audio_dcls.training.logbook import Logbook
from audio_dcls.training.nonfinite_clips import cause_of, examine_clips
from audio_dcls.training.normalisation import examine_normalisation
from audio_dcls.training.reporting import StepDone, TrainEvent
from audio_dcls.training.step import StepResult, StepRunner


class Trainer:
    """One run: a config and a seed, trained into a run directory.

    Args:
        config: the study's config.
        seed: this run's seed.
        clips: usable clips and labels.
        run_dir: where everything is written; if it holds a checkpoint, training goes on from it.
        fabric: of `build_fabric`, launched.
        stop: says when to stop early; None never.
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
        loop = config.loop
        check_one_step(config, len(clips.train))
        model = build_start(config, seed, clips, is_begun=bool(run_dir.checkpoints()))
        self.train_set = build_dataset(config, clips.train, len(clips.labels), augment_seed=seed)
        self.order = build_order(config.data, self.train_set.clips)
        self.train_set.before_item = build_fetch_ahead(self.order, self.train_set.clips, seed)
        self.eval_set = build_dataset(config, clips.eval, len(clips.labels))
        self.watched_set = self.eval_set
        if clips.validation:
            self.watched_set = build_dataset(config, clips.validation, len(clips.labels))
        self.layout = build_layout(config, fabric.world_size, self._per_device_batch(model))
        self.steps_per_epoch = self._sampler(0, 0).steps_per_epoch
        self.num_steps = self.steps_per_epoch * loop.epochs
        if fabric.world_size > 1:
            synchronise_norms(model, fabric.device)
        optimizer = build_optimizer(model, config.optimizer)
        self.schedule = build_schedule(
            optimizer, config.optimizer, num_steps=self.num_steps, steps_per_epoch=self.steps_per_epoch
        )
        self.average = self._average(model)
        self.first_step, self.damages = restore(run_dir, model, optimizer, self.average)
        self.sampler = self._sampler(self.first_step, self.num_steps - self.first_step)
        self.raw_model, self.raw_optimizer = model, optimizer
        self.model, self.optimizer = fabric.setup(model, optimizer)
        loss = build_loss(config.loss)
        self.distillation = build_distillation(config, clips, loss)
        self.runner = StepRunner(
            fabric,
            self.model,
            self.optimizer,
            sampler=self.sampler,
            augment=config.augment,
            clip_gradient_norm=config.optimizer.clip_gradient_norm,
            seed=seed,
            loss=loss,
            distillation=self.distillation,
            freeze=build_freeze(
                model, config.optimizer, steps_per_epoch=self.steps_per_epoch, num_processes=fabric.world_size
            ),
        )
        self.clock = CheckpointClock(loop, self.steps_per_epoch, self.num_steps)
        self.num_skipped = run_dir.num_skipped(self.first_step)
        self.failed: dict[str, ClipProblem] = {}

    def run(self) -> Iterator[TrainEvent]:
        """Train to the last step, yielding what happens; stopping the iteration leaves the last checkpoint whole.

        Raises:
            RunError: a loss or gradient was not finite, or a checkpoint cannot be written.
        """
        yield self._started()
        far_off = self._far_off_normalisation()
        if far_off is not None:
            yield far_off
        for message in self.damages:
            yield events.CheckpointDamaged(message)
        report = self.raw_model.pretrained_report
        if report is not None and self.fabric.is_global_zero:
            self.run_dir.write_json("pretrained.json", report.to_json_dict())
        metrics = None
        first = self.fabric.is_global_zero
        with Logbook(self.run_dir, self.config, self.seed, self.first_step, is_first=first) as book:
            book.status(state="running", seed=self.seed, step=self.first_step, num_steps=self.num_steps)
            self._begin_positions()
            batches = iter(self._train_batches())
            for step in range(self.first_step, self.num_steps):
                known = set(self.failed)
                done = self._step(step, batches, book)
                for name in [name for name in self.failed if name not in known]:
                    yield events.ClipFailed(step + 1, self.failed[name])
                if done is None:
                    yield events.StepSkipped(step + 1, self.run_dir.nonfinite_path(step + 1))
                    done = StepDone.skipped(step + 1, (step + 1) / self.steps_per_epoch)
                yield done
                self._record_positions(step + 1)
                if self._evaluates_after(step + 1):
                    metrics = self.evaluate(self.watched_set)
                    book.record_scores(metrics, done.step, done.epoch)
                    yield events.Evaluated(done.step, done.epoch, metrics)
                    self._keep_best(done, metrics)
                stopped, due = self._agree(step + 1)
                if due or stopped:
                    yield events.CheckpointWritten(done.step, self._checkpoint(done, metrics))
                if stopped and done.step < self.num_steps:
                    book.status(state="stopped", step=done.step, signal=self.stop.name)
                    yield events.RunStopped(
                        self.seed, done.step, self.run_dir.path, self.stop.name or "another process"
                    )
                    return
            if metrics is None or self.watched_set is not self.eval_set:
                metrics = self.evaluate(self.eval_set)
                book.record_scores(metrics, self.num_steps, self.config.loop.epochs)
            num_failed = len(set(gather_items(self.fabric, list(self.failed))))
            book.status(
                state="done", step=self.num_steps, skipped_steps=self.num_skipped, failed_train_clips=num_failed
            )
        yield events.RunFinished(self.seed, self.run_dir.path, metrics, num_failed)

    def evaluate(self, dataset: ClipDataset) -> TaggingMetrics:
        """Score clips with the present weights, or their average, each clip once over all processes.

        DropPath and batch norm are in evaluation mode meanwhile.
        """
        loop, fabric = self.config.loop, self.fabric
        loader = eval_loader(
            dataset,
            self.layout.per_device_batch,
            num_workers=self.config.data.num_workers,
            rank=fabric.global_rank,
            num_ranks=fabric.world_size,
        )
        predictions = predict(
            self.measured_model,
            loader,
            fabric.device,
            bf16=loop.precision == "bf16",
            activation=self.config.loss.activation,
        )
        predictions = gather_predictions(fabric, predictions)
        clip_ids = dataset.clips.ids.take(predictions.indices).to_list()
        return tagging_metrics(predictions.targets, predictions.scores, clip_ids)

    @property
    def measured_model(self) -> Any:
        """The model, or its average where there is one."""
        return self.raw_model if self.average is None else self.average.model

    def _started(self) -> events.RunStarted:
        return events.RunStarted(
            seed=self.seed,
            folder=self.run_dir.path,
            first_step=self.first_step,
            num_steps=self.num_steps,
            num_epochs=self.config.loop.epochs,
            num_train_clips=len(self.train_set),
            num_eval_clips=len(self.eval_set),
            num_parameters=sum(p.numel() for p in self.raw_model.parameters()),
            layout=self.layout,
            pretrained=self.raw_model.pretrained_report,
            teacher_coverage=None if self.distillation is None else self.distillation.teacher.coverage,
            emulates_bf16=self.config.loop.precision == "bf16" and not has_bf16(self.fabric.device),
        )

    def _far_off_normalisation(self) -> events.NormalisationFarOff | None:
        """Said once a study: at the beginning of its first run, by the first process."""
        is_first = self.first_step == 0 and self.seed == self.config.seeds[0] and self.fabric.is_global_zero
        return examine_normalisation(self.config, self.clips, self.fabric.device) if is_first else None

    def _average(self, model: Any) -> WeightAverage | None:
        if self.config.averaging is None:
            return None
        lengths = {"steps_per_epoch": self.steps_per_epoch, "num_steps": self.num_steps}
        return WeightAverage(model, self.config.averaging, **lengths)

    def _per_device_batch(self, model: Any) -> int:
        """The config's, or for "auto" the one this run was begun with, or the most clips that fit."""
        asked = self.config.loop.per_device_batch
        if asked != "auto":
            return asked
        where = {"device": str(self.fabric.device), "num_processes": self.fabric.world_size}
        status = self.run_dir.status().get("found_batch", {})
        if where.items() <= status.items():
            return status["per_device_batch"]
        found = find_per_device_batch(self.fabric, model.to(self.fabric.device), self.config, len(self.clips.labels))
        if self.fabric.is_global_zero:
            self.run_dir.write_status(found_batch={**where, "per_device_batch": found})
        return found

    def _sampler(self, first_step: int, num_steps: int) -> StepBatchSampler:
        loop = self.config.loop
        return StepBatchSampler(
            len(self.train_set),
            batch_size=loop.effective_batch,
            micro_batch_size=self.layout.per_device_batch,
            seed=self.seed,
            first_step=first_step,
            num_steps=num_steps,
            rank=self.fabric.global_rank,
            num_ranks=self.fabric.world_size,
            order=self.order,
        )

    def _train_batches(self) -> Any:
        pin = self.fabric.device.type == "cuda"
        return train_loader(self.train_set, self.sampler, num_workers=self.config.data.num_workers, pin_memory=pin)

    def _step(self, step: int, batches: Iterator[Any], book: Logbook) -> StepDone | None:
        """One step and its log; None where it was left out for not being finite."""
        self.schedule.step_update(step)
        rate = self.raw_optimizer.param_groups[0]["lr"]
        started_s = time.perf_counter()
        result = self.runner.run(step, batches)
        took_s = time.perf_counter() - started_s
        if not result.is_finite:
            self._report_nonfinite(step, result, book)
            return None
        dcls = self.config.model.dcls
        if dcls is not None and dcls.clamping == "step":
            clamp_positions(self.raw_model)
        if self.average is not None:
            self.average.update(self.raw_model, step + 1)
        for problem in result.failures:
            self.failed.setdefault(problem.id, problem)
            book.note({"step": step + 1, "failed_clip": problem.id, "reason": problem.reason})
        done = StepDone(
            step=step + 1,
            epoch=(step + 1) / self.steps_per_epoch,
            loss=result.loss,
            rate=rate,
            gradient_norm=result.gradient_norm,
            clips_per_s=result.num_clips / took_s,
            data_wait_share=min(1.0, result.data_wait_s / took_s),
            num_failed_clips=len(result.failures),
        )
        self._log_step(done, book)
        return done

    def _begin_positions(self) -> None:
        """Forget where the elements were after the checkpoint that this goes on from."""
        if self.fabric.is_global_zero:
            drop_records_after(self.run_dir.positions_folder, self.first_step)
        if self.first_step == 0:
            self._record_positions(0)

    def _record_positions(self, step: int) -> None:
        """After every epoch, remember where the elements are."""
        if self.fabric.is_global_zero and (step % self.steps_per_epoch == 0 or step == self.num_steps):
            write_record(self.run_dir.positions_folder, self.raw_model, step)

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

    def _report_nonfinite(self, step: int, result: StepResult, book: Logbook) -> None:
        """Name the clips of a step that went wrong; stop the run where the config says so."""
        self.num_skipped += 1
        book.status(skipped_steps=self.num_skipped)
        own = self.sampler.global_batch(step)[self.fabric.global_rank :: self.fabric.world_size]
        examined = examine_clips(self.raw_model, self.train_set, own, self.fabric.device, self.runner.loss)
        clips = gather_items(self.fabric, examined)
        found = [clip for clip in clips if clip["finding"] is not None]
        path = self.run_dir.nonfinite_path(step + 1)
        if self.fabric.is_global_zero:
            name = str(path.relative_to(self.run_dir.path))
            document = {"step": step + 1, "epoch": step // self.steps_per_epoch, "found": found, "clips": clips}
            self.run_dir.write_json(name, document)
        book.note({"step": step + 1, "nonfinite": [clip["id"] for clip in found]})
        if self.config.loop.nonfinite == "skip":
            return
        book.status(state="failed", step=step)
        last = "the last checkpoint is whole" if self.run_dir.checkpoints() else "no checkpoint was written yet"
        raise RunError(
            f"loss or gradient of step {step + 1} of run '{self.run_dir.path}' is not finite; {cause_of(found)}; the "
            f"step's clips are in '{path}'. Mend or leave out the clip, lower `optimizer.peak_rate`, or set "
            f"loop.nonfinite=skip; {last}"
        )

    def _evaluates_after(self, num_done: int) -> bool:
        epoch, remainder = divmod(num_done, self.steps_per_epoch)
        every = self.config.loop.evaluate_every_epochs
        return num_done == self.num_steps or (remainder == 0 and every > 0 and epoch % every == 0)

    def _agree(self, num_done: int) -> tuple[bool, bool]:
        """Whether to stop and whether to write a checkpoint: yes if any process says so."""
        said = torch.tensor([self.stop.name is not None, self.clock.is_due(num_done)], dtype=torch.float32)
        if self.fabric.world_size > 1:
            said = self.fabric.all_reduce(said.to(self.fabric.device), reduce_op="sum")
        stopped, due = (said > 0).tolist()
        return stopped, due

    def _keep_best(self, done: StepDone, metrics: TaggingMetrics) -> None:
        """Write the model beside the checkpoints if it did better on the validation splits than any before it."""
        if self.watched_set is not self.eval_set and self.fabric.is_global_zero:
            place = {"seed": self.seed, "step": done.step, "epoch": done.epoch}
            write_best(
                self.run_dir, self.measured_model, config=self.config, clips=self.clips, metrics=metrics, **place
            )

    def _checkpoint(self, done: StepDone, metrics: TaggingMetrics | None) -> Path:
        folder = self.run_dir.checkpoint_path(done.step)
        if self.fabric.is_global_zero:
            folder = write_checkpoint(
                self.run_dir,
                self.raw_model,
                self.raw_optimizer,
                config=self.config,
                clips=self.clips,
                seed=self.seed,
                step=done.step,
                epoch=done.epoch,
                metrics=metrics,
                average=self.average,
            )
        self.fabric.barrier()
        self.clock.restart()
        return folder
