"""Saliency: the parts of a spectrogram that make a model give a tag, and a test of it (thesis, section 6.8).

Axes: N spectrograms, H bands, W frames, C classes, P steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam
from matplotlib.figure import Figure
from scipy.integrate import trapezoid
from torch import Tensor, nn

from audio_dcls.errors import ArgumentError
from audio_dcls.frontend import FrontendConfig
from audio_dcls.inspection.print_style import COLOURS, SEQUENTIAL, head, legend, new_figure, tidy
from audio_dcls.inspection.receptive_field import hz_axis

_Logits = Callable[[Tensor], Tensor]
"""(N, 1, H, W) normalised spectrograms to (N, C)."""
_NUM_STEPS = 16
_PATH_STEPS = 24
"""Number of points of the integral from silence to the clip."""
_SHOWN_QUANTILE = 0.995
"""Larger saliency is drawn like this quantile; otherwise one cell would hide the rest."""
_BATCH = 8
_SPARSE_TICKS_HZ = (500, 2000, 8000)
"""Ticks of panels that are too low for more."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Scores of a tag while cells are put in or taken out, most salient first (Petsiuk et al., RISE, 2018)."""

    fractions: np.ndarray
    """(P + 1,) fractions of the cells, 0 to 1."""
    insertion: np.ndarray
    """(P + 1,) probabilities, from silence to the whole clip."""
    deletion: np.ndarray
    """(P + 1,) probabilities, from the whole clip to silence."""

    @property
    def insertion_area(self) -> float:
        """Area under the insertion curve, 0 to 1; high if the salient cells alone bring the tag."""
        return float(trapezoid(self.insertion, self.fractions))

    @property
    def deletion_area(self) -> float:
        """Area under the deletion curve, 0 to 1; low if the tag disappears with the salient cells."""
        return float(trapezoid(self.deletion, self.fractions))


def grad_cam(logits: nn.Module, layer: nn.Module, spectrogram: Tensor, class_index: int) -> np.ndarray:
    """Grad-CAM (Selvaraju et al., 2017) at a layer, interpolated to the spectrogram's cells: (H, W), 0 or more.

    The layer is one of the backbone `logits`, in evaluation mode; the spectrogram (1, 1, H, W) is normalised.
    """
    _check(logits, spectrogram, class_index)
    found: Any = LayerGradCam(logits, layer).attribute(spectrogram.detach(), target=class_index, relu_attributions=True)
    spread = LayerAttribution.interpolate(found, tuple(spectrogram.shape[2:]), "bilinear")
    return spread[0, 0].detach().double().cpu().numpy()


def integrated_gradients(
    logits: nn.Module, spectrogram: Tensor, silence: Tensor, class_index: int, num_steps: int = _PATH_STEPS
) -> tuple[np.ndarray, float]:
    """Integrated gradients (Sundararajan et al., 2017) from silence to a clip, both (1, 1, H, W): signed, in logits,
    (H, W); and the difference between their sum and the logit of the clip minus that of silence.
    """
    _check(logits, spectrogram, class_index)
    found, missing = IntegratedGradients(logits).attribute(
        spectrogram.detach(),
        baselines=silence,
        target=class_index,
        n_steps=num_steps,
        internal_batch_size=_BATCH,
        return_convergence_delta=True,
    )
    return found[0, 0].detach().double().cpu().numpy(), float(missing.abs().max())


@torch.no_grad()
def insertion_and_deletion(
    score: _Logits, spectrogram: Tensor, silence: Tensor, saliency: np.ndarray, num_steps: int = _NUM_STEPS
) -> Curves:
    """Put cells into silence, and take them out of the clip, the largest `saliency` (H, W) first; `score` gives the
    probabilities (N,) of the tag.
    """
    if saliency.shape != tuple(spectrogram.shape[-2:]):
        raise ArgumentError(
            f"`saliency` {saliency.shape} must have the shape of the spectrogram, {tuple(spectrogram.shape[-2:])}"
        )
    order = np.argsort(-saliency, axis=None, kind="stable")
    rank = np.empty(order.size)
    rank[order] = np.arange(order.size)
    ranks = torch.from_numpy(rank.reshape(saliency.shape)).to(spectrogram.device)
    fractions = np.linspace(0, 1, num_steps + 1)
    chosen = [ranks < fraction * order.size for fraction in fractions]

    def scores(taken: Tensor, other: Tensor) -> np.ndarray:
        batches = (chosen[first : first + _BATCH] for first in range(0, len(chosen), _BATCH))
        mixed = (torch.cat([torch.where(cells, taken, other) for cells in batch]) for batch in batches)
        return torch.cat([score(spectrograms) for spectrograms in mixed]).double().cpu().numpy()

    return Curves(fractions, insertion=scores(spectrogram, silence), deletion=scores(silence, spectrogram))


def draw_saliency(
    spectrogram_db: np.ndarray,
    saliencies: dict[str, np.ndarray],
    curves: dict[str, Curves],
    frontend: FrontendConfig,
    title: str,
    facts: str,
) -> Figure:
    """Draw a clip's spectrogram (H, W), and by method each saliency (H, W) on top of it, and its curves."""
    figure = new_figure(len(saliencies) + 2, row_inches=1.45)
    axes = figure.subplots(len(saliencies) + 2, 1)
    seconds = spectrogram_db.shape[1] * frontend.hop_samples / frontend.sample_rate_hz
    extent = (0.0, seconds, 0.0, float(len(spectrogram_db)))
    plain: Any = {"origin": "lower", "aspect": "auto", "extent": extent}
    top = float(spectrogram_db.max())
    for panel, (name, values) in zip(axes[:-1], {"the clip": None, **saliencies}.items(), strict=True):
        if values is None:
            panel.imshow(spectrogram_db, cmap=SEQUENTIAL, vmin=top - 80, vmax=top, **plain)
        else:
            panel.imshow(spectrogram_db, cmap="gray", vmin=top - 80, vmax=top, **plain)
            strength = np.clip(values / max(float(np.quantile(values, _SHOWN_QUANTILE)), 1e-12), 0, 1)
            panel.imshow(strength, cmap="inferno", vmin=0, vmax=1, alpha=0.85 * np.sqrt(strength), **plain)
        tidy(panel, title=name, x="time, s" if panel is axes[-2] else "")
        hz_axis(panel, frontend, _SPARSE_TICKS_HZ)
    lower = axes[-1]
    for colour, (name, one) in zip(COLOURS, curves.items(), strict=False):
        areas = f"{one.insertion_area:.2f} / {one.deletion_area:.2f}"
        lower.plot(one.fractions, one.insertion, color=colour, linewidth=1.2, label=f"{name}: {areas}")
        lower.plot(one.fractions, one.deletion, color=colour, linewidth=1.2, linestyle="--")
    lower.set_ylim(-0.03, 1.03)
    areas = "put in (solid) and taken out (dashed); their areas: first high, second low is good"
    tidy(lower, x="share of the cells, most salient first", y="score", title=areas)
    legend(lower, loc="upper center", bbox_to_anchor=(0.5, -0.45), ncols=len(curves))
    head(figure, title, facts)
    return figure


def last_map_layer(backbone: Any) -> nn.Module:
    """The module whose output is a backbone's last map: FastViT's final convolution, or the last stage."""
    stages = getattr(backbone, "stages", None)
    if not stages:
        raise ArgumentError(f"`backbone` (a {type(backbone).__name__}) has no stages, so its last map is not known")
    final = getattr(backbone, "final_conv", None)
    return stages[-1] if final is None or isinstance(final, nn.Identity) else final


def _check(logits: _Logits, spectrogram: Tensor, class_index: int) -> None:
    with torch.no_grad():
        num_classes = logits(spectrogram).shape[1]
    if not 0 <= class_index < num_classes:
        raise ArgumentError(f"`class_index` (={class_index}) must be 0 to {num_classes - 1}")
