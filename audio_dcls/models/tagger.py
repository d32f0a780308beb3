"""AudioTagger: from waveforms to one logit per class.

Axes: B batch, T samples, N frequency bins, M mels, F frames, C classes, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from audio_dcls.dcls.conv import POSITION_STD, WEIGHT_STD
from audio_dcls.dcls.depthwise.operator import DepthwiseConv2d
from audio_dcls.dcls.parameters import dcls_layers
from audio_dcls.dcls.swap.plan import SwapPlan, SwapReport
from audio_dcls.dcls.swap.rule import is_depthwise
from audio_dcls.dcls.swap.swap import plan_swap
from audio_dcls.errors import ModelError
from audio_dcls.frontend import FrontendConfig, LogMel, build_frontend
from audio_dcls.models.backbones import build_backbone
from audio_dcls.models.config import DclsConfig, ModelConfig
from audio_dcls.models.families import find_family
from audio_dcls.models.fusing import make_fusable
from audio_dcls.models.pretrained_report import PretrainedReport
from audio_dcls.models.stem import PATCH_SIZE

MIN_FAST_TAPS = 7
TensorMap = Callable[[Tensor], Tensor]


class AudioTagger(nn.Module):
    """Frontend and backbone: waveforms in, logits out.

    Args:
        frontend: waveforms to normalised log-mel spectrograms.
        backbone: a model of `build_backbone`.
        swap_report: describes the swap, if the backbone was swapped.
        pretrained_report: describes the origin of the weights, if trained weights were loaded.

    Shape:
        (B, T) -> (B, C).

    >>> import torch
    >>> small = ModelConfig(name="convnext_atto", overrides={"depths": [1, 1, 1, 1]})
    >>> build_tagger(small, FrontendConfig(), num_classes=5)(torch.zeros(2, 64000)).shape
    torch.Size([2, 5])
    """

    def __init__(
        self,
        frontend: LogMel,
        backbone: nn.Module,
        *,
        swap_report: SwapReport | None = None,
        pretrained_report: PretrainedReport | None = None,
    ) -> None:
        super().__init__()
        self.frontend = frontend
        self.backbone = backbone
        self.swap_report = swap_report
        self.pretrained_report = pretrained_report

    @property
    def swap_plan(self) -> SwapPlan | None:
        """The layers that were swapped, and how they share; None for a plain model."""
        return None if self.swap_report is None else self.swap_report.plan

    def forward(self, waveforms: Tensor, on_power: TensorMap | None = None, on_mel: TensorMap | None = None) -> Tensor:
        """Logits of waveforms.

        Args:
            waveforms: (B, T) at the frontend's rate.
            on_power: applied to the linear power spectrogram (B, N, F), such as random erasing.
            on_mel: applied to the normalised mel spectrogram (B, 1, M, F), such as mixup.
        """
        return self.backbone(self.spectrogram(waveforms, on_power, on_mel))

    def spectrogram(
        self, waveforms: Tensor, on_power: TensorMap | None = None, on_mel: TensorMap | None = None
    ) -> Tensor:
        """The input of the backbone, in its floating type: (B, T) -> (B, 1, M, F)."""
        if on_power is None:
            mel = self.frontend(waveforms)
        else:
            mel = self.frontend.normalised_mel(on_power(self.frontend.power_spectrogram(waveforms)))
        if on_mel is not None:
            mel = on_mel(mel)
        return mel.to(next(self.backbone.parameters()).dtype)

    def features(self, waveforms: Tensor) -> Tensor:
        """Embeddings: the pooled features before the classifier, (B, T) -> (B, D)."""
        backbone: Any = self.backbone
        return backbone.forward_head(backbone.forward_features(self.spectrogram(waveforms)), pre_logits=True)


def head_outputs(backbone: nn.Module, spectrograms: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and the pooled features that they are computed from, in one pass: (B, 1, M, F) -> (B, C), (B, D)."""
    timm_model: Any = backbone
    features = timm_model.forward_head(timm_model.forward_features(spectrograms), pre_logits=True)
    return timm_model.get_classifier()(features), features


def build_tagger(model: ModelConfig, frontend: FrontendConfig, num_classes: int) -> AudioTagger:
    """The tagger of two configs for `num_classes` classes, with random weights from torch's global generator.

    It only builds: `model.pretrained` is not read here; `start_tagger` (in `models/pretrained/start.py`) loads weights.

    Raises:
        ModelError: the model cannot be built as asked, or a clip is too short for it.
    """
    backbone = build_tagger_backbone(model, frontend, num_classes)
    swap_report = None if model.dcls is None else swap_backbone(backbone, model.dcls.at_random())
    return assemble_tagger(backbone, model, frontend, swap_report=swap_report)


def build_tagger_backbone(model: ModelConfig, frontend: FrontendConfig, num_classes: int) -> nn.Module:
    """The backbone of a tagger before its swap, with random weights; `ModelError` if it cannot be built as asked."""
    _check_map_size(model, frontend)
    return build_backbone(
        model.name,
        num_classes,
        drop_path_rate=model.drop_path_rate,
        head_dropout=model.head_dropout,
        layer_scale_init=model.layer_scale_init,
        head_pooling=model.head_pooling,
        overrides=model.overrides,
    )


def assemble_tagger(
    backbone: nn.Module,
    model: ModelConfig,
    frontend: FrontendConfig,
    *,
    swap_report: SwapReport | None = None,
    pretrained_report: PretrainedReport | None = None,
) -> AudioTagger:
    """Put the frontend before a backbone, and the fast operator into it where the config asks for it."""
    if model.fast_depthwise:
        use_fast_depthwise(backbone)
    return AudioTagger(build_frontend(frontend), backbone, swap_report=swap_report, pretrained_report=pretrained_report)


def _check_map_size(model: ModelConfig, frontend: FrontendConfig) -> None:
    min_mels, min_frames = (find_family(model.name).min_map_size * size for size in PATCH_SIZE)
    if frontend.num_mels < min_mels or frontend.num_frames < min_frames:
        raise ModelError(
            f"`frontend.num_mels` (={frontend.num_mels}) must be at least {min_mels} and the {frontend.num_frames} "
            f"frames of a clip of `frontend.clip_s` (={frontend.clip_s:g}) at least {min_frames}, for '{model.name}' "
            "to halve its maps three times; use longer clips, a shorter `frontend.hop_samples`, or another family"
        )


def swap_backbone(backbone: nn.Module, dcls: DclsConfig) -> SwapReport:
    """Swap a backbone's convolutions for DCLS in place, and report it."""
    plan = plan_swap(
        backbone,
        dcls.rule,
        dilated_kernel_size=dcls.kernel_size,
        kernel_count=dcls.kernel_count,
        interpolation=dcls.interpolation,
        share=dcls.share,
    )
    report = plan.apply(backbone, transfer=dcls.transfer)
    if dcls.transfer == "random":
        _widen_start(backbone, dcls)
    make_fusable(backbone)
    return report


def _widen_start(backbone: nn.Module, dcls: DclsConfig) -> None:
    """Scale the initial weights and positions to the configured deviations; each shared position once."""
    placed: set[int] = set()
    with torch.no_grad():
        for layer in dcls_layers(backbone).values():
            layer.weight.mul_(dcls.weight_std / WEIGHT_STD)
            if id(layer.positions) not in placed:
                placed.add(id(layer.positions))
                for coordinates, taps in zip(layer.positions, layer.learned_size, strict=True):
                    coordinates.mul_(dcls.position_std / POSITION_STD).clamp_(-(taps // 2), taps // 2)


def use_fast_depthwise(backbone: nn.Module) -> None:
    """Put `DepthwiseConv2d` in place of plain depthwise convolutions of stride 1 of 7x7 and larger.

    Parameters and results stay the same. On a CPU the backward pass takes about a fifth less time for 7x7 and more time
    for 3x3, so small convolutions stay torch's.
    """
    for parent in list(backbone.modules()):
        for name, child in list(parent._modules.items()):
            if type(child) is not nn.Conv2d or not is_depthwise(child) or child.stride != (1, 1):
                continue
            if min(child.kernel_size) >= MIN_FAST_TAPS:
                setattr(parent, name, _fast_twin(child))


def _fast_twin(conv: nn.Conv2d) -> DepthwiseConv2d:
    """A convolution with the same parameter objects that uses the package's operator."""
    twin = DepthwiseConv2d(
        conv.out_channels,
        kernel_size=(conv.kernel_size[0], conv.kernel_size[1]),
        padding=conv.padding if isinstance(conv.padding, str) else (conv.padding[0], conv.padding[1]),
        dilation=(conv.dilation[0], conv.dilation[1]),
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
        device="meta",
    )
    twin.weight, twin.bias = conv.weight, conv.bias
    return twin.train(conv.training)
