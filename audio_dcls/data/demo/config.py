"""Settings of the demo corpus."""

from __future__ import annotations

import pydantic

from audio_dcls.settings import Settings


class DemoConfig(Settings):
    """Settings of the demo corpus; the same three numbers give the same sounds."""

    seed: int = pydantic.Field(default=0, ge=0)
    """Clip i of a split depends on this seed, the split and i alone: a larger corpus starts with the smaller one."""

    num_train: int = pydantic.Field(default=1100, ge=1)
    """Training clips; about 100 of 1100 hold a given class."""

    num_eval: int = pydantic.Field(default=300, ge=1)
    """Evaluation clips; 26 of 300 hold a given class."""
