"""configs/paper/ against the recipe, field by field: arXiv 2309.13972 and the settings published with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audio_dcls.models import build_tagger
from audio_dcls.runs.config import TrainConfig
from audio_dcls.settings import build, load_yaml

PAPER = Path(__file__).parents[1] / "configs" / "paper"
BACKBONES = ("convnext_tiny", "convformer_s18", "fastvit_sa24")
CASES = [name for backbone in BACKBONES for name in (backbone, f"{backbone}-dcls")]

RECIPE: dict[str, Any] = {
    "seeds": (0, 1, 2),
    "data": {"train_splits": ("unbalanced_train", "balanced_train"), "eval_splits": ("eval",), "labels": "audioset",
             "validation_splits": ()},
    "frontend": {
        "sample_rate_hz": 32_000, "clip_s": 10.0, "clip_samples": 320_000, "fft_size": 1024, "hop_samples": 320,
        "num_mels": 128, "low_hz": 50, "high_hz": 14_000, "amin": 1e-10, "mean_db": -18.2696, "std_db": 30.5735,
        "num_frames": 1001,
    },
    "model": {"drop_path_rate": 0.4, "head_dropout": 0.0, "head_pooling": None, "overrides": {}},
    "augment": {
        "shift_probability": 1.0, "speed_probability": 0.5, "stretch_range": (0.5, 1.5), "speed_method": "nearest",
        "gain_db": (0.0, 0.0), "erase_probability": 0.25, "erase_area": (0.02, 0.33), "freq_mask_mels": 0,
        "time_mask_frames": 0, "mixup_alpha": 0.8, "mixup_on": "spectrogram", "label_smoothing": 0.1,
    },
    "loss": {"name": "bce"},
    "optimizer": {
        "peak_rate": 4e-3, "final_rate": 1e-6, "warmup_epochs": 20, "position_rate_factor": 5, "betas": (0.9, 0.999),
        "eps": 1e-8, "weight_decay": 0.05, "clip_gradient_norm": None, "layer_decay": None,
        "freeze_backbone_epochs": None,
    },
    "loop": {"epochs": 60, "effective_batch": 4096, "per_device_batch": 128, "precision": "fp32", "prior_bias": False},
    "averaging": None,
    "distillation": None,
}  # fmt: skip
"""Every number of the recipe that the six cases share."""

DCLS = {
    "rule": "paper", "kernel_size": (23, 23), "kernel_count": 26, "interpolation": "gauss", "clamping": "never",
    "share": "width", "transfer": "random", "weight_std": 0.02, "position_std": 0.5,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "convnext_tiny": {"optimizer": "adamw", "pretrained": True, "layer_scale_init": 1e-6},
    "convformer_s18": {"optimizer": "lamb", "pretrained": True, "layer_scale_init": None},
    "fastvit_sa24": {"optimizer": "adamw", "pretrained": False, "layer_scale_init": None},
}
"""What differs between the backbones."""


def case(name: str) -> TrainConfig:
    path = PAPER / f"{name}.yaml"
    return build(TrainConfig, load_yaml(path), str(path))


@pytest.mark.parametrize("name", CASES)
def test_every_field_is_the_recipes(name: str) -> None:
    config = case(name)
    for section, expected in RECIPE.items():
        found = getattr(config, section)
        if not isinstance(expected, dict):
            assert found == expected, section
            continue
        assert {key: getattr(found, key) for key in expected} == expected, section


@pytest.mark.parametrize("name", CASES)
def test_every_case_has_its_own_backbone_optimiser_and_swap(name: str) -> None:
    config, backbone = case(name), name.removesuffix("-dcls")
    own = OWN[backbone]
    assert config.name == name and config.model.name == backbone
    assert config.optimizer.name == own["optimizer"]
    assert config.model.pretrained is own["pretrained"]
    assert config.model.layer_scale_init == own["layer_scale_init"]
    if name == backbone:
        assert config.model.dcls is None
    else:
        assert config.model.dcls is not None
        assert {key: getattr(config.model.dcls, key) for key in DCLS} == DCLS


def test_a_case_and_its_baseline_differ_in_the_swap_alone() -> None:
    for backbone in BACKBONES:
        plain, swapped = (case(name).model_dump(mode="json") for name in (backbone, f"{backbone}-dcls"))
        assert swapped["model"].pop("dcls") and plain["model"].pop("dcls") is None
        assert (swapped.pop("name"), plain.pop("name")) == (f"{backbone}-dcls", backbone)
        assert swapped == plain


def test_no_number_of_a_training_section_is_left_unchecked() -> None:
    unchecked = {
        "data": {"manifests", "demo_folder", "demo_train_clips", "demo_eval_clips", "demo_seed", "num_workers", "cache",
                 "fold", "resample_quality", "duplicates", "order", "shuffle_buffer", "shard_cache_gb"},
        "model": {"name", "pretrained", "pretrained_file", "layer_scale_init", "dcls", "fast_depthwise"},
        "augment": {"erase_ratio", "mixup_group_clips"},
        "optimizer": {"name"},
        "loop": {"evaluate_every_epochs", "checkpoint_every_epochs", "checkpoint_every_steps",
                 "checkpoint_every_minutes", "keep_checkpoints", "log_every_steps", "nonfinite", "accelerator",
                 "devices", "loggers"},
    }  # fmt: skip
    config = case("convnext_tiny")
    for section, names in unchecked.items():
        assert set(type(getattr(config, section)).model_fields) <= set(RECIPE[section]) | names, section


@pytest.mark.parametrize(
    ("name", "millions"), [("convnext_tiny", 28.2), ("convformer_s18", 25.8), ("fastvit_sa24", 21.1)]
)
def test_parameters_are_the_recipes_and_dcls_has_no_more(name: str, millions: float) -> None:
    counts = []
    for config in (case(name), case(f"{name}-dcls")):
        model = build_tagger(config.model, config.frontend, 527)
        counts.append(sum(p.numel() for p in model.parameters()))
    assert round(counts[0] / 1e6, 1) == millions
    assert counts[1] <= counts[0]
