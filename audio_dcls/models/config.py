"""The config of a model."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from audio_dcls.settings import Settings


class DclsConfig(Settings):
    """The swap of convolutions for DCLS. The defaults are those of the paper (arXiv 2309.13972).

    >>> DclsConfig().clamping, DclsConfig(interpolation="bilinear").clamping
    ('never', 'step')
    """

    rule: Literal["paper", "depthwise", "every"] = "paper"
    """The convolutions to swap: depthwise 7x7 of stride 1, every depthwise one, or every one above 1x1."""

    kernel_size: tuple[int, int] = (23, 23)
    """Taps of the dense kernel: frequency, time. Each must differ by an even number from the kernel that it
    replaces."""

    kernel_count: int = pydantic.Field(default=26, ge=1)
    """Elements of each kernel."""

    interpolation: Literal["gauss", "triangle", "bilinear", "bilinear_floor"] = "gauss"
    """The function that spreads an element over the taps around it."""

    clamp_positions: Literal["never", "step"] | None = None
    """When positions are clamped into the kernel: `never`, or after every `step`. null is the paper's choice: `step`
    for the bilinear forms, whose elements have no gradient outside the kernel, and `never` for the others."""

    share: Literal["width", "stage", "none"] = "width"
    """The layers that share positions and spreads: layers of the same width, of the same stage, or no layers."""

    weight_std: float = pydantic.Field(default=0.02, gt=0, allow_inf_nan=False)
    """Standard deviation of the elements' random initial weights; 0.02 in the paper. The norm of a kernel is then 0.4
    times that of a 7x7 kernel drawn with 0.02. If no norm follows the convolution (ConvFormer) and training is short,
    0.05 makes the two norms equal."""

    position_std: float = pydantic.Field(default=0.5, gt=0, allow_inf_nan=False)
    """Standard deviation of the elements' random initial positions, in taps from the centre; 0.5 in the paper."""

    transfer: Literal["random", "fit"] = "random"
    """Initial values of the new kernels if `model.pretrained` loads trained kernels. `random` draws new values, as the
    paper does; `fit` places the elements so that they approximate the trained kernels. Weights of a model that is
    already swapped are loaded unchanged."""

    @pydantic.field_validator("kernel_size")
    @classmethod
    def _check_kernel_size(cls, value: tuple[int, int]) -> tuple[int, int]:
        if min(value) < 1:
            raise ValueError("each side of `kernel_size` must be at least 1")
        return value

    @property
    def clamping(self) -> Literal["never", "step"]:
        """`clamp_positions`, or the paper's choice if that is null."""
        if self.clamp_positions is not None:
            return self.clamp_positions
        return "step" if self.interpolation.startswith("bilinear") else "never"

    def at_random(self) -> DclsConfig:
        """This swap, with random initial kernels."""
        return self.model_copy(update={"transfer": "random"})


class ModelConfig(Settings):
    """A backbone of one of the three families, adapted to spectrograms."""

    name: str = "convnext_tiny"
    """timm's name of a ConvNeXt (not V2), ConvFormer or FastViT; `audio-dcls models list` prints the names. A tag such
    as `.fb_in1k` selects among pretrained weights."""

    pretrained: bool = False
    """Start from trained weights: those of `pretrained_file`, or ImageNet weights that timm fetches (by default weights
    that were trained on ImageNet-1k alone)."""

    pretrained_file: str | None = None
    """The weights to start from if `pretrained` is true: a .safetensors or .pth file in timm's or the authors' naming,
    a checkpoint of this program (its model.safetensors, its folder, or its run or study), or a name of published
    weights (`audio-dcls models list`). null fetches weights from the hub. From a tagger, the stem and the classifier
    are loaded too; the classifier's rows are matched by the identifiers of the classes that both label sets have."""

    drop_path_rate: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Probability of skipping the last block. The probability grows linearly with depth."""

    layer_scale_init: float | None = pydantic.Field(default=None, gt=0)
    """Initial scale of each residual branch. null is timm's: 1e-6 in ConvNeXt, 1e-5 in FastViT, no scale in
    ConvFormer."""

    head_dropout: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Dropout before the classifier."""

    head_pooling: Literal["avg", "max", "avgmax"] | None = None
    """Pooling of the last map over frequency and time. null is timm's: the average, in all three families."""

    overrides: dict[str, Any] = {}
    """Sizes that differ from the named model's: `depths` and `dims` (four integers each), and in some families
    `mlp_ratios`, `kernel_sizes`, `conv_mlp`, `cls_ratio`, `proj_drop_rate`, `use_mlp_head`, `head_hidden_size`."""

    dcls: DclsConfig | None = None
    """The swap, or null for the plain backbone."""

    fast_depthwise: bool = True
    """Run plain depthwise convolutions of 7x7 and larger in the package's own operator, which is faster."""
