"""The training loop: explicit, on Lightning Fabric; what it does is said through events and the run directory."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.utils.tensorboard import SummaryWriter

from audio_dcls.data.augment import build_waveform_augment
from audio_dcls.data.clips import ClipDataset
from audio_dcls.data.loader import eval_loader, train_loader
from audio_dcls.data.sampler import StepBatchSampler
from audio_dcls.dcls.training import clamp_positions, count_outside
from audio_dcls.evaluation.metrics import TaggingMetrics, tagging_metrics
from audio_dcls.evaluation.predict import id_hash, predict
from audio_dcls.models import build_tagger
from audio_dcls.models.checkpoint import save_checkpoint
from audio_dcls.models.tensor_file import MODEL_FILE, load_tensors
from audio_dcls.training.clips import TrainingClips
from audio_dcls.training.config import TrainConfig
from audio_dcls.training.events import CheckpointWritten, Evaluated, RunFinished, RunStarted, StepDone, TrainEvent
from audio_dcls.training.optim import build_optimizer, build_schedule
from audio_dcls.training.prior import set_prior_bias
from audio_dcls.training.resume import load_training_state, save_training_state
from audio_dcls.training.run_dir import STATE_FILE, RunDir
from audio_dcls.training.step import StepRunner

PACKAGES = ("audio-dcls", "torch", "timm", "numpy", "soundfile", "soxr", "lightning-fabric")


class Trainer:
    """One run: a config and a seed, trained into a run directory.

    Args:
        config: the study's config.
        seed: this run's seed.
        clips: usable clips and labels.
        run_dir: where everything is written; if it holds a checkpoint, training goes on from it.
    """

    def __init__(self, config: TrainConfig, seed: int, clips: TrainingClips, run_dir: RunDir) -> None:
        self.config, self.seed, self.clips, self.run_dir = config, seed, clips, run_dir
        loop = config.loop
        precision = "bf16-mixed" if loop.precision == "bf16" else "32-true"
        self.fabric = Fabric(accelerator=loop.accelerator, devices=1, precision=precision)
        # A run that goes on takes its weights from its checkpoint: the hub need not be reached again.
        begun = bool(run_dir.checkpoints())
        model_config = config.model.model_copy(update={"pretrained": False}) if begun else config.model
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = build_tagger(model_config, config.frontend, len(clips.labels))
        trained = model.pretrained_report
        if loop.prior_bias and not (trained is not None and trained.has_classifier):
            set_prior_bias(model.backbone, [clip.labels for clip in clips.train], len(clips.labels))
        self.train_set = self._dataset(clips.train, augmented=True)
        self.eval_set = self._dataset(clips.eval, augmented=False)
        self.steps_per_epoch = self._sampler(0, 0).steps_per_epoch
        self.num_steps = self.steps_per_epoch * loop.epochs
        optimizer = build_optimizer(model, config.optimizer)
        self.schedule = build_schedule(
            optimizer, config.optimizer, num_steps=self.num_steps, steps_per_epoch=self.steps_per_epoch
        )
        self.first_step = self._restore(model, optimizer)
        self.raw_model, self.raw_optimizer = model, optimizer
        self.model, self.optimizer = self.fabric.setup(model, optimizer)
        self.runner = StepRunner(
            self.fabric,
            self.model,
            self.optimizer,
            augment=config.augment,
            effective_batch=loop.effective_batch,
            per_device_batch=loop.per_device_batch,
            clip_gradient_norm=config.optimizer.clip_gradient_norm,
            seed=seed,
        )

    def run(self) -> Iterator[TrainEvent]:
        """Train to the last step, yielding what happens; stopping the iteration leaves the last checkpoint whole."""
        yield RunStarted(
            seed=self.seed,
            folder=self.run_dir.path,
            first_step=self.first_step,
            num_steps=self.num_steps,
            num_epochs=self.config.loop.epochs,
            num_train_clips=len(self.train_set),
            num_eval_clips=len(self.eval_set),
            num_parameters=sum(p.numel() for p in self.raw_model.parameters()),
            pretrained=self.raw_model.pretrained_report,
        )
        if self.raw_model.pretrained_report is not None:
            self.run_dir.write_json("pretrained.json", self.raw_model.pretrained_report.to_json_dict())
        self.run_dir.drop_metrics_after(self.first_step)
        self.run_dir.write_status(state="running", seed=self.seed, step=self.first_step, num_steps=self.num_steps)
        metrics = None
        with SummaryWriter(str(self.run_dir.tensorboard_folder), purge_step=self.first_step) as board:
            batches = iter(self._train_batches())
            for step in range(self.first_step, self.num_steps):
                done = self._step(step, batches)
                self._log_step(done, board)
                yield done
                epoch, remainder = divmod(step + 1, self.steps_per_epoch)
                last = step + 1 == self.num_steps
                if remainder:
                    continue
                every = self.config.loop.evaluate_every_epochs
                if last or (every and epoch % every == 0):
                    metrics = self._evaluate(done, board)
                    yield Evaluated(done.step, done.epoch, metrics)
                if last or epoch % self.config.loop.checkpoint_every_epochs == 0:
                    yield CheckpointWritten(done.step, self._checkpoint(done, metrics))
        if metrics is None:
            metrics = self.evaluate()
        self.run_dir.write_status(state="done", step=self.num_steps)
        yield RunFinished(self.seed, self.run_dir.path, metrics)

    def evaluate(self) -> TaggingMetrics:
        """Score the evaluation split with the present weights.

        DropPath and batch norm are in evaluation mode meanwhile.
        """
        loop = self.config.loop
        loader = eval_loader(self.eval_set, loop.per_device_batch, num_workers=self.config.data.num_workers)
        predictions = predict(self.raw_model, loader, self.fabric.device, bf16=loop.precision == "bf16")
        return tagging_metrics(predictions.targets, predictions.scores)

    def _dataset(self, clips: Any, *, augmented: bool) -> ClipDataset:
        frontend, augment = self.config.frontend, self.config.augment
        return ClipDataset(
            clips,
            num_classes=len(self.clips.labels),
            sample_rate_hz=frontend.sample_rate_hz,
            clip_samples=frontend.clip_samples,
            augment=build_waveform_augment(augment) if augmented else None,
            erase=augment.erase_keywords() if augmented else None,
            num_bins=frontend.num_bins,
            num_frames=frontend.num_frames,
            seed=self.seed,
            cache=self.config.data.cache,
            mask=augment.mask_keywords() if augmented else None,
            num_mels=frontend.num_mels,
        )

    def _sampler(self, first_step: int, num_steps: int) -> StepBatchSampler:
        loop = self.config.loop
        return StepBatchSampler(
            len(self.train_set),
            batch_size=loop.effective_batch,
            micro_batch_size=loop.per_device_batch,
            seed=self.seed,
            first_step=first_step,
            num_steps=num_steps,
        )

    def _train_batches(self) -> Any:
        sampler = self._sampler(self.first_step, self.num_steps - self.first_step)
        pin = self.fabric.device.type == "cuda"
        return train_loader(self.train_set, sampler, num_workers=self.config.data.num_workers, pin_memory=pin)

    def _step(self, step: int, batches: Iterator[Any]) -> StepDone:
        self.schedule.step_update(step)
        rate = self.raw_optimizer.param_groups[0]["lr"]
        started = time.perf_counter()
        result = self.runner.run(step, batches)
        dcls = self.config.model.dcls
        if dcls is not None and dcls.clamping == "step":
            clamp_positions(self.raw_model)
        for problem in result.failures:
            self.run_dir.append_metrics({"step": step, "failed_clip": problem.id, "reason": problem.reason})
        return StepDone(
            step=step + 1,
            epoch=(step + 1) / self.steps_per_epoch,
            loss=float(result.loss),
            rate=rate,
            gradient_norm=float(result.gradient_norm),
            clips_per_s=result.num_clips / (time.perf_counter() - started),
            num_failed_clips=len(result.failures),
        )

    def _log_step(self, done: StepDone, board: SummaryWriter) -> None:
        if done.step % self.config.loop.log_every_steps and done.step != self.num_steps:
            return
        record = {
            "loss": done.loss,
            "rate": done.rate,
            "gradient_norm": done.gradient_norm,
            "clips_per_s": done.clips_per_s,
        }
        if self.config.model.dcls is not None:
            record["elements_outside"] = count_outside(self.raw_model)
        for name, value in record.items():
            board.add_scalar(f"train/{name}", value, done.step)
        finite = {name: value if math.isfinite(value) else None for name, value in record.items()}
        self.run_dir.append_metrics({"step": done.step, "epoch": done.epoch, **finite})
        self.run_dir.write_status(state="running", step=done.step, epoch=done.epoch, loss=finite["loss"])

    def _evaluate(self, done: StepDone, board: SummaryWriter) -> TaggingMetrics:
        metrics = self.evaluate()
        scores = {
            "mAP": metrics.mean_average_precision,
            "AUC": metrics.mean_auc,
            "d_prime_of_mean_AUC": metrics.d_prime_of_mean_auc,
            "mean_d_prime": metrics.mean_d_prime,
        }
        for name, value in scores.items():
            board.add_scalar(f"eval/{name}", value, done.step)
        self.run_dir.append_metrics({"step": done.step, "epoch": done.epoch, "eval": scores})
        self.run_dir.write_status(last_evaluation={"step": done.step, **scores})
        return metrics

    def _checkpoint(self, done: StepDone, metrics: TaggingMetrics | None) -> Path:
        folder = self.run_dir.begin_checkpoint(done.step)
        info = {
            "seed": self.seed,
            "step": done.step,
            "epoch": done.epoch,
            "metrics": None if metrics is None else {"mAP": metrics.mean_average_precision},
            "eval_id_hash": id_hash(clip.id for clip in self.clips.eval),
            "config": self.config.model_dump(mode="json"),
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
            | {"python": platform.python_version()},
        }
        save_checkpoint(
            folder / MODEL_FILE,
            self.raw_model,
            model_config=self.config.model,
            frontend_config=self.config.frontend,
            labels=self.clips.labels,
            info=info,
        )
        save_training_state(folder / STATE_FILE, self.raw_optimizer, {"step": done.step, "seed": self.seed})
        return self.run_dir.finish_checkpoint(folder, keep=self.config.loop.keep_checkpoints)

    def _restore(self, model: Any, optimizer: torch.optim.Optimizer) -> int:
        found = self.run_dir.checkpoints()
        if not found:
            return 0
        tensors, _ = load_tensors(found[-1] / MODEL_FILE)
        model.load_state_dict(tensors)
        return int(load_training_state(found[-1] / STATE_FILE, optimizer)["step"])
