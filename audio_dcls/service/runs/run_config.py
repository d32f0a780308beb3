"""From what a client sends, a config's name or the config itself, to one that may be trained."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from audio_dcls.errors import ConfigError, ModelError, ServiceError
from audio_dcls.models.families import find_family
from audio_dcls.models.weights.published import find_published
from audio_dcls.runs.config import TrainConfig
from audio_dcls.service.runs.data_roots import DataRoots
from audio_dcls.service.runs.queue import RunKind
from audio_dcls.settings import build, dump_yaml, find_config, find_named_config, load_yaml, merge, shipped_names
from audio_dcls.training.studies.study_config import OWN_KEYS, StudyPlan, StudySettings

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CONFIG_PATTERN = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,99}/){0,4}[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\.ya?ml")
MAX_SEEDS = 20
MAX_SEED = 2**31 - 1
MAX_RUNS = 200
"""Cases times seeds of a study."""
MAX_KEYS_NAMED = 5
MAX_DEPTH = 12
"""Mappings and lists inside each other; no config has half as many."""
MAX_DEMO_CLIPS = 20_000
"""Clips of a synthesised corpus, which take 1 MB each."""


@dataclass(frozen=True)
class BuiltRun:
    """A config that may be trained."""

    kind: RunKind
    name: str
    config: TrainConfig | StudyPlan

    def to_yaml(self) -> str:
        """The whole config, defaults included."""
        return dump_yaml(self.config)


class RunConfigs:
    """Builds configs that read nothing but what is shipped, what the operator named, and the service's own.

    Args:
        state_dir: of the service: runs and models in it may be started from, and demo corpora are written there.
        data_roots: folders and addresses that configs may read.
        config_dirs: folders of configs that may be named, beside those shipped.
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
        """A config to train, checked.

        Args:
            config: name of a shipped config or of a file in `config_dirs`, or the values themselves. What has `cases`
                is a study of several.
            overrides: values by dotted key or nested; of a study, in every case.
            seeds: in place of the config's.
            name: in place of the config's.

        Raises:
            ServiceError: 404, no config has that name.
            ConfigError: a key or value is wrong, or a file is none that may be read.
        """
        changes = _nested(overrides or {})
        if seeds is not None:
            _check_seeds(seeds)
            changes["seeds"] = list(seeds)
        if name is not None:
            if NAME_PATTERN.fullmatch(name) is None:
                raise ConfigError(
                    f"`name` (={name[:80]!r}) must be 1 to 64 letters, digits, dots, dashes and underscores, and begin "
                    "with a letter or digit"
                )
            changes["name"] = name
        if isinstance(config, str):
            file, source = self.find(config), f"config '{config}'"
            values = self._load(file)
        else:
            _check_plain(config, "config")
            file, source = None, "config"
            values = self._included(config)
        source += f" with overrides of {', '.join(list(changes)[:MAX_KEYS_NAMED])}" if changes else ""
        if "cases" in values:
            return self._study(values, changes, file, source)
        built = self._checked(merge(values, changes), source)
        return BuiltRun("train", built.name, built)

    def find(self, name: str) -> Path:
        """The file of a config.

        Raises:
            ConfigError: this could be no config's name.
            ServiceError: 404, there is none.
        """
        if CONFIG_PATTERN.fullmatch(name) is None:
            raise ConfigError(
                f"`config` (={name[:80]!r}) must be the name of a config, such as demo.yaml or paper/study.yaml; not a "
                "path"
            )
        for folder in self.config_dirs:
            path = folder / name
            if path.is_file() and path.resolve().is_relative_to(folder):
                return path
        try:
            path = find_named_config(name, find_config("demo.yaml"))
        except ConfigError as error:
            near = difflib.get_close_matches(name, shipped_names(), n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"those shipped are {', '.join(shipped_names())}"
            raise ServiceError(
                f"config '{name}' is neither shipped nor in a folder of the setting `config_dirs`; {hint}",
                status=404,
                code="unknown_config",
            ) from error
        return path

    def _load(self, path: Path) -> dict[str, Any]:
        self._check_includes(path, ())
        return load_yaml(path)

    def _check_includes(self, path: Path, parents: tuple[Path, ...]) -> None:
        """See that a file and all it includes are configs; what else is wrong with them `load_yaml` says."""
        if not self.config_roots.holds(path):
            raise ConfigError(
                f"config '{path.name}' is included from outside the folders of configs; put it in one of them"
            )
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            return
        names = content.get("include", []) if isinstance(content, dict) else []
        for name in [names] if isinstance(names, str) else names if isinstance(names, list) else []:
            if isinstance(name, str) and path.resolve() not in parents:
                self._check_includes(find_named_config(name, path.resolve()), (*parents, path.resolve()))

    def _included(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values with the configs they include put under them."""
        own = dict(values)
        names = own.pop("include", [])
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"`include` (={names!r}) must be a config's name or a list of such")
        merged: dict[str, Any] = {}
        for name in names:
            merged = merge(merged, self._load(self.find(name)))
        return merge(merged, own)

    def _study(self, values: dict[str, Any], changes: dict[str, Any], file: Path | None, source: str) -> BuiltRun:
        own = {key: changes.pop(key) for key in OWN_KEYS if key in changes}
        settings = build(StudySettings, merge(values, own), source)
        _check_seeds(settings.seeds)
        if len(settings.cases) * len(settings.seeds) > MAX_RUNS:
            raise ConfigError(
                f"{source}: {len(settings.cases)} cases times {len(settings.seeds)} seeds must be at most {MAX_RUNS} "
                "runs; make several studies of it"
            )
        cases = {}
        for name, case in settings.cases.items():
            found = self.find(case.config) if file is None else find_named_config(case.config, file.resolve())
            merged = self._load(found)
            for update in (settings.set, case.set):
                for key in OWN_KEYS:
                    if key in update:
                        raise ConfigError(f"{source}: `set.{key}` must be left out; it is the study's own key `{key}`")
                merged = merge(merged, update)
            merged = merge(merged, {**changes, "name": settings.name, "seeds": list(settings.seeds)})
            config = self._checked(merged, f"{source}, case '{name}'")
            cases[name] = {"baseline": case.baseline, "config": config}
        plan = build(StudyPlan, {"name": settings.name, "seeds": settings.seeds, "cases": cases}, source)
        return BuiltRun("study", plan.name, plan)

    def _checked(self, values: dict[str, Any], source: str) -> TrainConfig:
        """A training config whose every path is one that may be read, written out whole."""
        config = build(TrainConfig, values, source)
        _check_seeds(config.seeds)
        if NAME_PATTERN.fullmatch(config.name) is None:
            raise ConfigError(f"{source}: `name` (={config.name[:80]!r}) must be 1 to 64 letters, digits and ._-")
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
        """The config's paths, each as it may be read."""
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
        """One for each corpus there can be: runs that synthesise the same sounds share them."""
        data = config.data
        num_clips = data.demo_train_clips + data.demo_eval_clips
        if num_clips > MAX_DEMO_CLIPS:
            raise ConfigError(
                f"`data.demo_train_clips` and `data.demo_eval_clips` (={num_clips} together) must be at most "
                f"{MAX_DEMO_CLIPS}; lower them"
            )
        return self.demo_root / f"{data.demo_train_clips}-{data.demo_eval_clips}-{data.demo_seed}"


def _check_seeds(seeds: Sequence[int]) -> None:
    if not 1 <= len(seeds) <= MAX_SEEDS:
        raise ConfigError(f"`seeds` ({len(seeds)} of them) must be 1 to {MAX_SEEDS} numbers; start several runs")
    if not all(0 <= seed <= MAX_SEED for seed in seeds):
        raise ConfigError(f"`seeds` (={list(seeds)}) must each be from 0 to {MAX_SEED}")


def _check_plain(value: Any, key: str, depth: int = 0) -> None:
    """Refuse what no config could be, before anything walks through it, quotes it or writes it."""
    if depth > MAX_DEPTH:
        raise ConfigError(f"`{key}`: mappings and lists lie more than {MAX_DEPTH} deep; none needs that")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"`{key}` must be text of whole Unicode characters; {value[:80]!r} is none") from error
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
