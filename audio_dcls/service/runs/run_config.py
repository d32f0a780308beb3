"""Build the config of a run from a client's request: a config's name, or the config itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from audio_dcls.errors import ConfigError, ModelError, ServiceError
from audio_dcls.models.families import find_family
from audio_dcls.models.weights.published import find_published
from audio_dcls.near_names import did_you_mean
from audio_dcls.runs.config import TrainConfig
from audio_dcls.service.runs.data_roots import DataRoots
from audio_dcls.service.runs.queue import RunKind
from audio_dcls.service.settings import NAME_PATTERN
from audio_dcls.settings import build, dump_yaml, find_config, find_named_config, load_yaml, merge, shipped_names
from audio_dcls.training.studies.study_config import OWN_KEYS, StudyPlan, StudySettings

MAX_DEPTH = 12
"""Mappings and lists inside each other; no config needs half as many levels."""
_CONFIG_PATTERN = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,99}/){0,4}[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\.ya?ml")
_MAX_SEEDS = 20
_MAX_SEED = 2**31 - 1
_MAX_RUNS = 200
"""Cases times seeds in a study."""
_MAX_KEYS_NAMED = 5
_MAX_DEMO_CLIPS = 20_000
"""Clips in a synthesised corpus; each takes 1 MB."""


@dataclass(frozen=True)
class BuiltRun:
    """A checked config, ready to be trained."""

    kind: RunKind
    name: str
    config: TrainConfig | StudyPlan

    def to_yaml(self) -> str:
        """The whole config, defaults included."""
        return dump_yaml(self.config)


class RunConfigs:
    """Builds configs that can read only shipped files, the operator's folders and the service's own folders.

    Args:
        state_dir: the service's folder; configs may name its runs and models, and demo corpora are written there.
        data_roots: folders and addresses that configs may read.
        config_dirs: folders of configs that clients may name, in addition to the shipped configs.
    """

    def __init__(
        self, state_dir: Path, data_roots: Iterable[str | Path] = (), config_dirs: Iterable[Path] = ()
    ) -> None:
        self.demo_root = state_dir.absolute() / "demo_corpora"
        own = [state_dir / name for name in ("demo_corpora", "models", "runs")]
        self.roots = DataRoots(data_roots, own)
        self.config_dirs = [folder.resolve() for folder in config_dirs]
        self.config_roots = DataRoots([*self.config_dirs, find_config("demo.yaml").parent])

    def build(
        self,
        config: str | Mapping[str, Any],
        overrides: Mapping[str, Any] | None = None,
        seeds: Sequence[int] | None = None,
        name: str | None = None,
    ) -> BuiltRun:
        """Build and check a config, given by its name or by its values; a config with `cases` is a study.

        Overrides are by dotted key or nested, and apply to every case of a study. Raises ServiceError (404) if no
        config has the name, and ConfigError if a key or value is wrong or names a file that runs may not read.
        """
        changes = _nested(overrides or {})
        if seeds is not None:
            _check_seeds(seeds)
            changes["seeds"] = list(seeds)
        if name is not None:
            check_name(name)
            changes["name"] = name
        if isinstance(config, str):
            file, source = self.find(config), f"config '{config}'"
            values = self._load(file)
        else:
            _check_plain(config, "config")
            file, source = None, "config"
            values = self._included(config)
        source += f" with overrides of {', '.join(list(changes)[:_MAX_KEYS_NAMED])}" if changes else ""
        if "cases" in values:
            return self._study(values, changes, file, source)
        built = self._checked(merge(values, changes), source)
        return BuiltRun("train", built.name, built)

    def find(self, name: str) -> Path:
        """The file of a config; raises ConfigError if the name is not valid, ServiceError (404) if there is none."""
        if _CONFIG_PATTERN.fullmatch(name) is None:
            raise ConfigError(
                f"`config` (={name[:80]!r}) must be a config's name, such as demo.yaml or paper/study.yaml, not a path"
            )
        for folder in self.config_dirs:
            path = folder / name
            if path.is_file() and path.resolve().is_relative_to(folder):
                return path
        try:
            return find_named_config(name, find_config("demo.yaml"))
        except ConfigError as error:
            known = shipped_names()
            hint = did_you_mean(name, known, f"the shipped configs are {', '.join(known)}", min_similarity=0.6)
            message = f"config '{name}' is neither shipped nor in a folder of the setting `config_dirs`; {hint}"
            raise ServiceError(message, status=404, code="unknown_config") from error

    def _load(self, path: Path) -> dict[str, Any]:
        self._check_includes(path, ())
        return load_yaml(path)

    def _check_includes(self, path: Path, parents: tuple[Path, ...]) -> None:
        """Check that a file and everything it includes are in folders of configs; `load_yaml` finds other errors."""
        if not self.config_roots.holds(path):
            raise ConfigError(f"config '{path.name}' is outside the folders of configs; move it into one of them")
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            return
        names = content.get("include", []) if isinstance(content, dict) else []
        for name in [names] if isinstance(names, str) else names if isinstance(names, list) else []:
            if isinstance(name, str) and path.resolve() not in parents:
                self._check_includes(find_named_config(name, path.resolve()), (*parents, path.resolve()))

    def _included(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values merged over the configs that they include."""
        own = dict(values)
        names = own.pop("include", [])
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"`include` (={names!r}) must be a config's name, or a list of names")
        merged: dict[str, Any] = {}
        for name in names:
            merged = merge(merged, self._load(self.find(name)))
        return merge(merged, own)

    def _study(self, values: dict[str, Any], changes: dict[str, Any], file: Path | None, source: str) -> BuiltRun:
        own = {key: changes.pop(key) for key in OWN_KEYS if key in changes}
        settings = build(StudySettings, merge(values, own), source)
        _check_seeds(settings.seeds)
        if len(settings.cases) * len(settings.seeds) > _MAX_RUNS:
            raise ConfigError(
                f"{source}: {len(settings.cases)} cases times {len(settings.seeds)} seeds must be at most {_MAX_RUNS} "
                "runs; split it into several studies"
            )
        cases = {}
        for name, case in settings.cases.items():
            found = self.find(case.config) if file is None else find_named_config(case.config, file.resolve())
            merged = self._load(found)
            for update in (settings.set, case.set):
                for key in OWN_KEYS:
                    if key in update:
                        raise ConfigError(f"{source}: leave out `set.{key}`; `{key}` is a key of the study itself")
                merged = merge(merged, update)
            merged = merge(merged, {**changes, "name": settings.name, "seeds": list(settings.seeds)})
            config = self._checked(merged, f"{source}, case '{name}'")
            cases[name] = {"baseline": case.baseline, "config": config}
        plan = build(StudyPlan, {"name": settings.name, "seeds": settings.seeds, "cases": cases}, source)
        return BuiltRun("study", plan.name, plan)

    def _checked(self, values: dict[str, Any], source: str) -> TrainConfig:
        """A complete training config in which every path is absolute and may be read."""
        config = build(TrainConfig, values, source)
        _check_seeds(config.seeds)
        check_name(config.name, source)
        if not config.data.manifests and config.data.demo_folder is None:
            raise ConfigError(
                f"{source}: `data.manifests` is empty; name at least one manifest in the folders that runs may read, "
                "or set data.demo_folder for the demo's sounds"
            )
        try:
            find_family(config.model.name)
        except ModelError as error:
            raise ConfigError(f"{source}: {error}") from error
        return build(TrainConfig, merge(config.model_dump(mode="json"), self._paths(config)), source)

    def _paths(self, config: TrainConfig) -> dict[str, Any]:
        """The config's paths, checked and made absolute."""
        allowed, data = self.roots.allowed, config.data
        paths: dict[str, Any] = {"data": {"manifests": [allowed("data.manifests", path) for path in data.manifests]}}
        if data.labels != "audioset":
            paths["data"]["labels"] = allowed("data.labels", data.labels)
        if data.demo_folder is not None:
            paths["data"]["demo_folder"] = str(self._demo_folder(config))
        weights = config.model.pretrained_file
        if weights is not None and find_published(weights) is None:
            paths["model"] = {"pretrained_file": allowed("model.pretrained_file", weights)}
        if config.distillation is not None:
            paths["distillation"] = {"file": allowed("distillation.file", config.distillation.file)}
        return paths

    def _demo_folder(self, config: TrainConfig) -> Path:
        """The folder of a synthesised corpus; runs that synthesise the same sounds share it."""
        data = config.data
        num_clips = data.demo_train_clips + data.demo_eval_clips
        if num_clips > _MAX_DEMO_CLIPS:
            raise ConfigError(
                f"`data.demo_train_clips` and `data.demo_eval_clips` (={num_clips} together) must be at most "
                f"{_MAX_DEMO_CLIPS}; lower them"
            )
        return self.demo_root / f"{data.demo_train_clips}-{data.demo_eval_clips}-{data.demo_seed}"


def check_name(name: str, source: str | None = None) -> None:
    """Check the name of a run or a model; raises ConfigError if it is not valid."""
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise ConfigError(
            f"{source + ': ' if source else ''}`name` (={name[:80]!r}) must be 1 to 64 letters, digits, dots, dashes "
            "and underscores, and begin with a letter or digit"
        )


def _check_seeds(seeds: Sequence[int]) -> None:
    if not 1 <= len(seeds) <= _MAX_SEEDS:
        raise ConfigError(f"`seeds` ({len(seeds)} of them) must be 1 to {_MAX_SEEDS} numbers; start several runs")
    if not all(0 <= seed <= _MAX_SEED for seed in seeds):
        raise ConfigError(f"`seeds` (={list(seeds)}) must each be from 0 to {_MAX_SEED}")


def _check_plain(value: Any, key: str, depth: int = 0) -> None:
    """Refuse values that no config can hold, before other code walks through them, quotes them or writes them."""
    if depth > MAX_DEPTH:
        raise ConfigError(f"`{key}` must have its mappings and lists at most {MAX_DEPTH} deep; no config needs more")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"`{key}` (={value[:80]!r}) must be text of valid Unicode characters") from error
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _check_plain(name, key, depth + 1)
            _check_plain(item, key, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_plain(item, key, depth + 1)


def _nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides with dotted keys as nested mappings.

    >>> _nested({"loop.epochs": 2, "loop": {"precision": "fp32"}})
    {'loop': {'epochs': 2, 'precision': 'fp32'}}
    """
    _check_plain(overrides, "overrides")
    result: dict[str, Any] = {}
    for key, value in overrides.items():
        parts = key.split(".")
        if not all(parts) or len(parts) > MAX_DEPTH:
            raise ConfigError(f"override `{key[:80]}` must be a key of the config, such as loop.epochs")
        for part in reversed(parts):
            value = {part: value}
        result = merge(result, value)
    return result
