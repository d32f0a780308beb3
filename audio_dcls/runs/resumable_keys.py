"""Config keys that may change when a run is resumed: they change how it is computed, not its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from audio_dcls.errors import ConfigError
from audio_dcls.runs.config import TrainConfig
from audio_dcls.settings import Settings, build, merge, parse_overrides

RESUMABLE_KEYS = (
    "data.cache",
    "data.num_workers",
    "data.shard_cache_gb",
    "loop.accelerator",
    "loop.checkpoint_every_epochs",
    "loop.checkpoint_every_minutes",
    "loop.checkpoint_every_steps",
    "loop.devices",
    "loop.evaluate_every_epochs",
    "loop.keep_checkpoints",
    "loop.log_every_steps",
    "loop.loggers",
    "loop.nonfinite",
    "loop.per_device_batch",
)


def override_resumable_keys(config: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
    """A study's config with other values, `KEY=VALUE`, of `RESUMABLE_KEYS`. Raises `ConfigError` if a key would change
    what is trained, or is unknown.

    >>> override_resumable_keys(TrainConfig(), ["data.num_workers=3"]).data.num_workers
    3
    """
    if not overrides:
        return config
    values = parse_overrides(list(overrides))
    for key, _ in _leaves(values):
        if key not in RESUMABLE_KEYS:
            raise ConfigError(
                f"--set {key} would change what is trained, and a resumed run must not change that; start another "
                f"study, or set only: {', '.join(RESUMABLE_KEYS)}"
            )
    return build(TrainConfig, merge(config.model_dump(mode="json"), values), "--set " + " ".join(overrides))


def flat_values(settings: Settings) -> dict[str, Any]:
    """All values of a config by dotted key.

    >>> flat_values(TrainConfig())["data.num_workers"]
    4
    """
    return dict(_leaves(settings.model_dump(mode="json")))


def changed_keys(first: TrainConfig, second: TrainConfig) -> list[str]:
    """Keys with different values in two configs, without the resumable ones.

    >>> changed_keys(TrainConfig(name="a", seeds=(1,)), TrainConfig(name="b", seeds=(1,)))
    ['name']
    """
    values, others = flat_values(first), flat_values(second)
    keys = dict.fromkeys([*values, *others])
    absent = object()
    return [key for key in keys if key not in RESUMABLE_KEYS and values.get(key, absent) != others.get(key, absent)]


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
