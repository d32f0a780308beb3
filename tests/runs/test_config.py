"""Values that a training config refuses, with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from audio_dcls.errors import ConfigError
from audio_dcls.runs.config import TrainConfig
from audio_dcls.settings import build, parse_overrides


@pytest.mark.parametrize(
    "key", ["data.sampler", "data.balanced_sampler", "data.weighted_sampler", "loop.sampler", "sampler"]
)
def test_a_class_weighted_sampler_is_refused_with_the_reason(key: str) -> None:
    values: dict[str, Any] = parse_overrides([f"{key}=balanced"])
    with pytest.raises(ConfigError) as caught:
        build(TrainConfig, values, "test")
    for part in (f"`{key}` (='balanced')", "on purpose", "uniform shuffle, never class-weighted", "arXiv 2309.13972"):
        assert part in str(caught.value)


def test_other_unknown_keys_are_told_apart() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'data\.samples'"):
        build(TrainConfig, {"data": {"samples": 3}}, "test")
