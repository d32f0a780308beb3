"""Parts of a model: each is measured, and the memory kept is what torch keeps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from audio_dcls.frontend import FrontendConfig
from audio_dcls.inspection.costs import _memory, draw_construction, draw_parts, measure_construction, measure_parts
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger


@pytest.mark.parametrize("name", ["convnext_atto", "fastvit_t8", "convformer_s18"])
def test_parts_hold_every_parameter_once(name: str) -> None:
    """Shared positions are counted by every layer that has them."""
    overrides = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}
    config = ModelConfig(name=name, overrides=overrides, dcls=DclsConfig())
    tagger = build_tagger(config, FrontendConfig(clip_s=1.5), 3).eval()
    spectrograms = tagger.spectrogram(torch.rand(2, 48_000) - 0.5).detach()
    rows = measure_parts(tagger.backbone, spectrograms, num_rounds=1)
    assert sum(row["parameters"] for row in rows) >= sum(p.numel() for p in tagger.backbone.parameters())
    assert all(row["forward_ms"] > 0 and row["kept_mib"] >= 0 for row in rows)
    assert {f"stages.{n}.blocks.0" for n in range(4)} <= {row["part"] for row in rows}
    layers = measure_construction(tagger.backbone, spectrograms, num_rounds=1)
    assert len(layers) >= 4
    assert all(row["build_ms"] > 0 and row["convolve_ms"] > 0 for row in layers)
    assert len(draw_parts(rows, "facts").axes) == 2
    assert len(draw_construction(layers, "facts").axes) == 1


def test_memory_kept_of_a_linear_layer_is_its_input() -> None:
    kept, output = _memory(nn.Linear(64, 32), torch.zeros(8, 64))
    assert (kept, output) == (8 * 64 * 4, 8 * 32 * 4)
