"""The whole of a training run in one strict config."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic

from audio_dcls.data.augment import AugmentConfig
from audio_dcls.data.augment.mixup import check_mixup_groups
from audio_dcls.data.config import DataConfig
from audio_dcls.errors import ArgumentError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.models import ModelConfig
from audio_dcls.models.activation import Activation
from audio_dcls.settings import Settings

Positive = Annotated[float, pydantic.Field(gt=0)]
NonNegative = Annotated[float, pydantic.Field(ge=0)]


WEIGHTED_SAMPLERS = ("sampler", "balanced_sampler", "balanced_sampling", "weighted_sampler", "class_weights")
"""Names under which a class-weighted sampler would be looked for."""


class AveragingConfig(Settings):
    """Which average; the paper's runs have none."""

    method: Literal["ema", "swa"] = "ema"
    """Exponential moving average after every step, or the plain average of the weights at the ends of the last epochs
    (Izmailov et al., 2018, arXiv 1803.05407; elsewhere called checkpoint averaging)."""
    decay: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.9998
    """Of the exponential average: how much of it stays at a step; after n steps (1 + n) / (10 + n), while that is
    less."""
    start: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.75
    """Of the plain average: the part of the epochs that is left out; weights at the end of each later epoch count."""


class OptimizerConfig(Settings):
    """Optimiser, its learning rates and weight decay."""

    name: Literal["adamw", "lamb"] = "adamw"
    """AdamW (Loshchilov and Hutter, 2019) or LAMB (You et al., 2020)."""
    peak_rate: Positive = 4e-3
    """Learning rate at the end of the warm-up."""
    final_rate: NonNegative = 1e-6
    """Learning rate at the end of the cosine."""
    warmup_epochs: NonNegative = 20.0
    """Epochs of linear warm-up from 0."""
    position_rate_factor: Positive = 5.0
    """Learning rate of DCLS positions and spreads, as a multiple of the others'."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of the first and second moment."""
    eps: Positive = 1e-8
    """Added to the root of the second moment; timm's LAMB wants 1e-6."""
    weight_decay: NonNegative = 0.05
    """Decoupled weight decay; never applied to biases, norms, layer scales, positions or spreads."""
    clip_gradient_norm: Positive | None = None
    """Largest global gradient norm; none: no clipping."""
    layer_decay: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None
    """Factor by which every layer's rate is below that of the next layer towards the classifier (a block is a layer),
    for fine-tuning; positions and spreads keep their multiple. None: one rate for all layers."""
    freeze_backbone_epochs: Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)] | Literal["always"] | None = (
        None
    )
    """Epochs during which the classifier alone trains and batch norms keep their statistics, for fine-tuning from a
    checkpoint; `always`: the whole run. None: everything trains from the first step."""


class LossConfig(Settings):
    """What is minimised, beside the labels' smoothing in `augment.label_smoothing`."""

    name: Literal["bce", "focal", "asl", "cross_entropy"] = "bce"
    """Binary cross-entropy, as in the paper; the focal loss; the asymmetric loss; or, for clips with exactly one label
    each, cross-entropy, whose probabilities are a softmax."""
    focal_gamma: NonNegative = 2.0
    """γ of the focal loss; 0 is binary cross-entropy."""
    focal_alpha: Annotated[float, pydantic.Field(ge=0, le=1)] | None = None
    """α of the focal loss, the weight of positives, 1 − α that of negatives; none: both 1."""
    asl_gamma_neg: NonNegative = 4.0
    """γ₋ of the asymmetric loss: how much less easy negatives count."""
    asl_gamma_pos: NonNegative = 1.0
    """γ₊ of the asymmetric loss: how much less easy positives count."""
    asl_clip: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.05
    """m of the asymmetric loss: negatives less probable than this cost nothing."""

    @property
    def activation(self) -> Activation:
        """What turns the logits into probabilities."""
        return "softmax" if self.name == "cross_entropy" else "sigmoid"


class DistillationConfig(Settings):
    """Learning from a teacher's stored logits beside the labels."""

    file: str
    """Logits by clip id: HDF5 (`audio-dcls eval RUN --split train --save-logits FILE` writes one), Parquet or Arrow."""
    weight: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.5
    """Share of the loss that comes from the teacher; the rest comes from the labels, all of it for clips that the file
    does not hold."""
    temperature: Annotated[Positive, pydantic.Field(allow_inf_nan=False)] = 1.0
    """Divides both sides' logits; above 1 the teacher's smaller probabilities count for more."""


class LoopConfig(Settings):
    """How long, how large, how often."""

    epochs: Annotated[int, pydantic.Field(ge=1)] = 60
    """Passes over the training clips."""
    effective_batch: Annotated[int, pydantic.Field(ge=1)] = 4096
    """Clips per optimiser step, over all devices and accumulation."""
    per_device_batch: Annotated[int, pydantic.Field(ge=1)] | Literal["auto"] = 128
    """Clips per forward and backward; the rest of the effective batch is accumulated. auto finds the most that fit into
    memory."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """bf16 is autocast; frontend, DCLS kernel construction and loss stay in float32."""
    prior_bias: bool = False
    """Start the classifier's bias at each class's log-odds (under cross-entropy, log frequency) in the training split
    (Lin et al., 2017, section 3.3): few clips then go into learning that most classes are rare. A classifier that was
    loaded keeps its own."""
    evaluate_every_epochs: Annotated[int, pydantic.Field(ge=0)] = 1
    """Epochs between evaluations; 0: only after the last epoch."""
    checkpoint_every_epochs: Annotated[int, pydantic.Field(ge=1)] = 1
    """Epochs between checkpoints; the last epoch always writes one."""
    checkpoint_every_steps: Annotated[int, pydantic.Field(ge=1)] | None = None
    """Steps between checkpoints, beside those of the epochs; none: epochs and minutes alone."""
    checkpoint_every_minutes: Positive | None = 15.0
    """Most minutes between checkpoints; none: epochs and steps alone."""
    keep_checkpoints: Annotated[int, pydantic.Field(ge=1)] = 2
    """Newest checkpoints kept."""
    log_every_steps: Annotated[int, pydantic.Field(ge=1)] = 10
    """Steps between lines in metrics.jsonl and points in TensorBoard."""
    nonfinite: Literal["stop", "skip"] = "stop"
    """What a loss or gradient that is not finite does: stop the run, naming the clips, or leave out that step."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto takes a GPU if there is one."""
    devices: Annotated[int, pydantic.Field(ge=1)] | Literal["auto"] = "auto"
    """Processes on this machine, one a device; auto is every GPU, or one process on a CPU. torchrun and Slurm decide
    themselves."""
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    """Where figures go beside metrics.jsonl; Weights & Biases and MLflow need the extras of their names."""

    @property
    def eval_batch(self) -> int:
        """Clips in a forward pass of a measurement."""
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
    """A run: data, frontend, model, augmentation, optimiser, loop and seeds."""

    name: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9._-]+$")] = "run"
    """Name of the study folder; letters, digits, dot, dash and underscore."""
    seeds: Annotated[tuple[int, ...], pydantic.Field(min_length=1)] = (0,)
    """One run is trained for each."""
    data: DataConfig = DataConfig()
    frontend: FrontendConfig = FrontendConfig()
    model: ModelConfig = ModelConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    distillation: DistillationConfig | None = None
    """A teacher; null: none, as in the paper."""
    optimizer: OptimizerConfig = OptimizerConfig()
    loop: LoopConfig = LoopConfig()
    averaging: AveragingConfig | None = None
    """An average of the weights, measured and kept in place of the last ones; null: none, as in the paper."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _has_no_weighted_sampler(cls, values: Any) -> Any:
        sections = {"": values, "data.": values.get("data"), "loop.": values.get("loop")}
        for prefix, section in sections.items():
            for name in WEIGHTED_SAMPLERS:
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
                "model.pretrained_file for weights of your own"
            )
        if self.optimizer.freeze_backbone_epochs is not None and not self.model.pretrained:
            raise ValueError(
                f"`optimizer.freeze_backbone_epochs` (={self.optimizer.freeze_backbone_epochs}) must have a trained "
                "backbone to freeze: set model.pretrained=true and model.pretrained_file, or leave it out"
            )
        if len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"`seeds` (={list(self.seeds)}) must be distinct and not negative")
        return self
