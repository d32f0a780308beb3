"""The config of a training run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic

from audio_dcls.data.augment.config import AugmentConfig
from audio_dcls.data.augment.mixup import check_mixup_groups
from audio_dcls.data.config import DataConfig
from audio_dcls.errors import ArgumentError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.models import ModelConfig
from audio_dcls.models.activation import Activation
from audio_dcls.settings import Settings

Positive = Annotated[float, pydantic.Field(gt=0)]
NonNegative = Annotated[float, pydantic.Field(ge=0)]

_WEIGHTED_SAMPLERS = ("sampler", "balanced_sampler", "balanced_sampling", "weighted_sampler", "class_weights")
"""Keys by which other programs configure a class-weighted sampler."""


class AveragingConfig(Settings):
    """Average of the weights; the paper's runs do not use one."""

    method: Literal["ema", "swa"] = "ema"
    """Exponential moving average after every step, or the plain average of the weights at the ends of the last epochs
    (Izmailov et al., 2018, arXiv 1803.05407; elsewhere called checkpoint averaging)."""
    decay: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.9998
    """For ema: share of the average that is kept at each step; after n steps at most (1 + n) / (10 + n)."""
    start: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.75
    """For swa: share of the epochs that is left out; the weights at the end of every later epoch are averaged."""


class OptimizerConfig(Settings):
    """Optimiser, learning rates and weight decay."""

    name: Literal["adamw", "lamb"] = "adamw"
    """AdamW (Loshchilov and Hutter, 2019) or LAMB (You et al., 2020)."""
    peak_rate: Positive = 4e-3
    """Learning rate at the end of the warm-up."""
    final_rate: NonNegative = 1e-6
    """Learning rate at the end of the cosine."""
    warmup_epochs: NonNegative = 20.0
    """Epochs of linear warm-up from 0."""
    position_rate_factor: Positive = 5.0
    """Learning rate of DCLS positions and spreads, as a multiple of that of the other parameters."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of the first and second moment."""
    eps: Positive = 1e-8
    """Added to the root of the second moment; use 1e-6 for timm's LAMB."""
    weight_decay: NonNegative = 0.05
    """Decoupled weight decay; never applied to biases, norms, layer scales, positions and spreads."""
    clip_gradient_norm: Positive | None = None
    """Largest global gradient norm; null: no clipping."""
    layer_decay: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None
    """For fine-tuning: learning rate of a layer divided by that of the next layer towards the classifier (a block is a
    layer); positions and spreads keep their multiple. Null: one rate for all layers."""
    freeze_backbone_epochs: Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)] | Literal["always"] | None = (
        None
    )
    """For fine-tuning from a checkpoint: epochs during which only the classifier trains and batch norms keep their
    statistics; `always`: the whole run. Null: everything trains from the first step."""


class LossConfig(Settings):
    """The loss; `augment.label_smoothing` smooths its targets."""

    name: Literal["bce", "focal", "asl", "cross_entropy"] = "bce"
    """Binary cross-entropy, as in the paper; the focal loss; the asymmetric loss; or, if every clip has exactly one
    label, cross-entropy over a softmax."""
    focal_gamma: NonNegative = 2.0
    """γ of the focal loss; 0 is binary cross-entropy."""
    focal_alpha: Annotated[float, pydantic.Field(ge=0, le=1)] | None = None
    """α of the focal loss: the weight of positives is α, that of negatives 1 − α; null: both weights are 1."""
    asl_gamma_neg: NonNegative = 4.0
    """γ₋ of the asymmetric loss: larger values reduce the weight of easy negatives."""
    asl_gamma_pos: NonNegative = 1.0
    """γ₊ of the asymmetric loss: larger values reduce the weight of easy positives."""
    asl_clip: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.05
    """m of the asymmetric loss: negatives with a probability below this have no loss."""

    @property
    def activation(self) -> Activation:
        """The function from logits to probabilities."""
        return "softmax" if self.name == "cross_entropy" else "sigmoid"


class DistillationConfig(Settings):
    """Training on a teacher's stored logits in addition to the labels."""

    file: str
    """Logits by clip id: HDF5 (`audio-dcls eval RUN --split train --save-logits FILE` writes one), Parquet or Arrow."""
    weight: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.5
    """Share of the teacher in the loss; the rest comes from the labels. Clips that are not in the file train on their
    labels alone."""
    temperature: Annotated[Positive, pydantic.Field(allow_inf_nan=False)] = 1.0
    """Divides the logits of student and teacher; above 1, small probabilities of the teacher count more."""


class LoopConfig(Settings):
    """Length, batch, precision, intervals and devices of a training."""

    epochs: Annotated[int, pydantic.Field(ge=1)] = 60
    """Passes over the training clips."""
    effective_batch: Annotated[int, pydantic.Field(ge=1)] = 4096
    """Clips per optimiser step, over all devices and accumulation."""
    per_device_batch: Annotated[int, pydantic.Field(ge=1)] | Literal["auto"] = 128
    """Clips per forward and backward pass of a device; the effective batch is accumulated from them. auto: the largest
    number that fits into memory."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """bf16 uses autocast; the frontend, the construction of DCLS kernels and the loss stay in float32."""
    prior_bias: bool = False
    """Initialise the classifier's bias with each class's log-odds in the training split (for cross-entropy, with its
    log frequency; Lin et al., 2017, section 3.3), so that the model need not learn first that most classes are rare. A
    loaded classifier keeps its bias."""
    evaluate_every_epochs: Annotated[int, pydantic.Field(ge=0)] = 1
    """Epochs between evaluations; 0: only after the last epoch."""
    checkpoint_every_epochs: Annotated[int, pydantic.Field(ge=1)] = 1
    """Epochs between checkpoints; there is always one after the last epoch."""
    checkpoint_every_steps: Annotated[int, pydantic.Field(ge=1)] | None = None
    """Steps between additional checkpoints; null: no such checkpoints."""
    checkpoint_every_minutes: Positive | None = 15.0
    """Longest time between checkpoints, in minutes; null: no limit."""
    keep_checkpoints: Annotated[int, pydantic.Field(ge=1)] = 2
    """Number of checkpoints to keep; older ones are deleted."""
    log_every_steps: Annotated[int, pydantic.Field(ge=1)] = 10
    """Steps between lines in metrics.jsonl and points in TensorBoard."""
    nonfinite: Literal["stop", "skip"] = "stop"
    """What to do if a loss or gradient is not finite: stop the run and name the clips, or skip the step."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device type; auto uses a GPU if there is one."""
    devices: Annotated[int, pydantic.Field(ge=1)] | Literal["auto"] = "auto"
    """Processes on this machine, one per device; auto: all GPUs, or one process on a CPU. Under torchrun and Slurm the
    launcher decides."""
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    """Loggers in addition to metrics.jsonl; Weights & Biases and MLflow need the extras `wandb` and `mlflow`."""

    @property
    def eval_batch(self) -> int:
        """Clips per forward pass of an evaluation."""
        return min(self.effective_batch, 16) if self.per_device_batch == "auto" else self.per_device_batch

    @pydantic.model_validator(mode="after")
    def _batch_divides(self) -> LoopConfig:
        if self.per_device_batch != "auto" and self.effective_batch % self.per_device_batch:
            raise ValueError(
                f"`effective_batch` (={self.effective_batch}) must be a multiple of `per_device_batch` "
                f"(={self.per_device_batch})"
            )
        return self


class TrainConfig(Settings):
    """Everything about a run: data, frontend, model, augmentation, optimiser, loop and seeds."""

    name: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9._-]+$")] = "run"
    """Name of the study folder: letters, digits, dot, dash and underscore."""
    seeds: Annotated[tuple[int, ...], pydantic.Field(min_length=1)] = (0,)
    """One run is trained per seed."""
    data: DataConfig = DataConfig()
    frontend: FrontendConfig = FrontendConfig()
    model: ModelConfig = ModelConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    distillation: DistillationConfig | None = None
    """Distillation from a teacher; null: no teacher, as in the paper."""
    optimizer: OptimizerConfig = OptimizerConfig()
    loop: LoopConfig = LoopConfig()
    averaging: AveragingConfig | None = None
    """Average of the weights, evaluated and stored instead of the last weights; null: no average, as in the paper."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _has_no_weighted_sampler(cls, values: Any) -> Any:
        for prefix, section in (("", values), ("data.", values.get("data")), ("loop.", values.get("loop"))):
            for name in _WEIGHTED_SAMPLERS:
                if isinstance(section, dict) and name in section:
                    raise ValueError(
                        f"`{prefix}{name}` (={section[name]!r}): there is no class-weighted sampler, on purpose: the "
                        "paper (arXiv 2309.13972) trains on a uniform shuffle, never class-weighted, and mAP with and "
                        "without cannot be compared; remove the key"
                    )
        return values

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> TrainConfig:
        if self.augment.mixup_alpha > 0 and self.loop.per_device_batch != "auto":
            group, batch = self.augment.mixup_group_clips, self.loop.per_device_batch
            try:
                check_mixup_groups(self.loop.effective_batch, batch, group)
            except ArgumentError as error:
                raise ValueError(
                    f"`augment.mixup_group_clips` (={group}) must divide `loop.per_device_batch` (={batch}), or a pair "
                    f"would be split between two forward passes; lower it to a divisor of {batch}"
                ) from error
        if self.model.dcls is not None and self.model.dcls.transfer == "fit" and not self.model.pretrained:
            raise ValueError(
                "`model.dcls.transfer` (='fit') must have trained kernels to fit: set model.pretrained=true, and "
                "model.pretrained_file for your own weights"
            )
        if self.optimizer.freeze_backbone_epochs is not None and not self.model.pretrained:
            raise ValueError(
                f"`optimizer.freeze_backbone_epochs` (={self.optimizer.freeze_backbone_epochs}) must have a trained "
                "backbone to freeze: set model.pretrained=true and model.pretrained_file, or leave it out"
            )
        if len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"`seeds` (={list(self.seeds)}) must be distinct and not negative")
        return self
