"""What a model is made of, as a config."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from audio_dcls.settings import Settings


class DclsConfig(Settings):
    """The swap of convolutions for DCLS; the defaults are the paper's (arXiv 2309.13972).

    >>> DclsConfig().clamping, DclsConfig(interpolation="bilinear").clamping
    ('never', 'step')
    """

    rule: Literal["paper", "depthwise", "every"] = "paper"
    """Which convolutions are swapped: depthwise 7x7 of stride 1, every depthwise one, or every one above 1x1."""

    kernel_size: tuple[int, int] = (23, 23)
    """Taps of the dense kernel: frequency, time. Each must differ by an even number from the kernel it replaces."""

    kernel_count: int = pydantic.Field(default=26, ge=1)
    """Elements of each kernel."""

    interpolation: Literal["gauss", "triangle", "bilinear", "bilinear_floor"] = "gauss"
    """How an element spreads over the taps around it."""

    clamp_positions: Literal["never", "step"] | None = None
    """When positions are clamped into the kernel: `never`, after every `step`, or (null) as the paper does, which is
    `step` for the bilinear forms, whose elements lose their gradient outside, and `never` for the others."""

    share: Literal["width", "stage", "none"] = "width"
    """Which layers share positions and spreads: those of the same width, of the same stage, or none."""

    weight_std: float = pydantic.Field(default=0.02, gt=0, allow_inf_nan=False)
    """Standard deviation of the elements' weights at a random start, 0.02 in the paper. A kernel's norm is then 0.4 of
    that of a 7x7 one drawn with 0.02; where no norm follows the convolution (ConvFormer) and training is short, 0.05
    makes them alike."""

    position_std: float = pydantic.Field(default=0.5, gt=0, allow_inf_nan=False)
    """Standard deviation of the elements' positions at a random start, in taps from the centre; 0.5 in the paper."""

    transfer: Literal["random", "fit"] = "random"
    """What the new kernels hold where `model.pretrained` gives the model trained ones: `random` draws them anew, as the
    paper does; `fit` places elements so that they come as close as they can to the trained kernels. Weights that are
    of a swapped model already are taken as they are."""

    @pydantic.field_validator("kernel_size")
    @classmethod
    def _check_kernel_size(cls, value: tuple[int, int]) -> tuple[int, int]:
        if min(value) < 1:
            raise ValueError("each side of `kernel_size` must be at least 1")
        return value

    @property
    def clamping(self) -> Literal["never", "step"]:
        """`clamp_positions`, with null resolved."""
        if self.clamp_positions is not None:
            return self.clamp_positions
        return "step" if self.interpolation.startswith("bilinear") else "never"

    def at_random(self) -> DclsConfig:
        """The same swap, with kernels that start at random."""
        return self.model_copy(update={"transfer": "random"})


class ModelConfig(Settings):
    """A backbone of one of the three families, adapted to spectrograms."""

    name: str = "convnext_tiny"
    """timm's name of a ConvNeXt (not V2), ConvFormer or FastViT; `audio-dcls models list` prints them. A tag such as
    `.fb_in1k` chooses among pretrained weights."""

    pretrained: bool = False
    """Start from trained weights: ImageNet's, fetched through timm (by default those trained on ImageNet-1k alone), or
    those of `pretrained_file`."""

    pretrained_file: str | None = None
    """Where `pretrained` is true, what to read instead of asking the hub: a .safetensors or .pth file in timm's or the
    authors' naming, a checkpoint of this program (its model.safetensors, its folder, or the run or study it belongs
    to), or a name of published weights (`audio-dcls models list`). Of a tagger, stem and classifier are loaded too: of
    the classifier, the rows of the classes that both label sets have, by identifier."""

    drop_path_rate: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Probability of skipping the last block; grows linearly over depth."""

    layer_scale_init: float | None = pydantic.Field(default=None, gt=0)
    """Start of the scale on each residual branch; null is timm's (1e-6 ConvNeXt, 1e-5 FastViT, none ConvFormer)."""

    head_dropout: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Dropout before the classifier."""

    head_pooling: Literal["avg", "max", "avgmax"] | None = None
    """How the last map is pooled over frequency and time; null is timm's (the average, for all three families)."""

    overrides: dict[str, Any] = {}
    """Sizes that differ from the named model's: `depths` and `dims` (four integers each), and for one family or another
    `mlp_ratios`, `kernel_sizes`, `conv_mlp`, `cls_ratio`, `proj_drop_rate`, `use_mlp_head`, `head_hidden_size`."""

    dcls: DclsConfig | None = None
    """The swap, or null for the plain backbone."""

    fast_depthwise: bool = True
    """Run plain depthwise convolutions from 7x7 up through the package's own operator: the same results, faster."""
