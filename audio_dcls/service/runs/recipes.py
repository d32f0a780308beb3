"""The configs from which the page can start a run, with the few values that its form shows."""

from __future__ import annotations

import functools
from typing import Any

from audio_dcls.runs.config import TrainConfig
from audio_dcls.service.runs.schemas import Recipe, RecipeFields
from audio_dcls.settings import build, load_yaml

_PAPER = "On AudioSet, as the paper trains it (arXiv 2309.13972); for machines with GPUs."
_OFFERED = (
    (
        "demo.yaml",
        "Demo, with DCLS",
        "Makes 1 400 sounds of 25 classes and trains a small model on them, in a few minutes.",
    ),
    ("demo_7x7.yaml", "Demo, without DCLS", "The demo's twin: the same model and sounds with plain 7x7 convolutions."),
    (
        "small_data.yaml",
        "Your sounds, a small model",
        "For hundreds to some thousands of clips of your own, from random weights.",
    ),
    ("paper/convnext_tiny-dcls.yaml", "ConvNeXt-T, DCLS", _PAPER),
    ("paper/convformer_s18-dcls.yaml", "ConvFormer-S18, DCLS", _PAPER),
    ("paper/fastvit_sa24-dcls.yaml", "FastViT-SA24, DCLS", _PAPER),
    ("paper/convnext_tiny.yaml", "ConvNeXt-T, 7x7", _PAPER),
    ("paper/convformer_s18.yaml", "ConvFormer-S18, 7x7", _PAPER),
    ("paper/fastvit_sa24.yaml", "FastViT-SA24, 7x7", _PAPER),
)
"""File, title and description of each."""


@functools.cache
def recipes() -> tuple[Recipe, ...]:
    """All recipes that are offered.

    >>> recipes()[0].name, recipes()[0].needs_data
    ('demo.yaml', False)
    """
    return tuple(_recipe(*offered) for offered in _OFFERED)


def _recipe(name: str, title: str, description: str) -> Recipe:
    values: dict[str, Any] = load_yaml(name)
    config = build(TrainConfig, values, f"config '{name}'")
    return Recipe(
        name=name,
        title=title,
        description=description,
        needs_data=config.data.demo_folder is None and not config.data.manifests,
        fields=RecipeFields(
            epochs=config.loop.epochs,
            learning_rate=config.optimizer.peak_rate,
            batch=config.loop.effective_batch,
            seeds=list(config.seeds),
        ),
    )
