"""Strict, frozen configs: YAML with includes, overrides from the command line, and "did you mean".

A config file is a YAML mapping. Its optional key `include` names one file or a list of files, relative to itself or
shipped, merged in order before the file's own lines (mappings merge key by key, anything else is replaced).
"""

from __future__ import annotations

import copy
import importlib.resources
import re
import typing
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from audio_dcls.errors import ConfigError
from audio_dcls.near_names import did_you_mean

SettingsType = TypeVar("SettingsType", bound="Settings")


class Settings(pydantic.BaseModel):
    """Base class of every config: immutable, and an unknown key is an error."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def find_config(path: str | Path) -> Path:
    """Locate a config: the path itself, or the one shipped under that name, such as `configs/demo.yaml` or `demo.yaml`.

    Raises `ConfigError` if neither exists.
    """
    path = Path(path)
    found = path if path.is_file() else _find_shipped(path)
    if found is None:
        raise ConfigError(f"config '{path}' does not exist here, nor among those shipped: {', '.join(shipped_names())}")
    return found


def find_named_config(name: str, source: Path) -> Path:
    """Locate a config that the file `source` names: next to that file or, if no such file exists, among those shipped.

    Raises `ConfigError` if neither exists.
    """
    path = source.parent / name
    found = path if path.is_file() else _find_shipped(Path(name))
    if found is None:
        raise ConfigError(
            f"config '{path}' (named in '{source}') does not exist; check the name, which is relative to the file that "
            f"names it, or one of those shipped: {', '.join(shipped_names())}"
        )
    return found


def _shipped_root() -> Path:
    return Path(str(importlib.resources.files("audio_dcls_configs")))


def shipped_names() -> list[str]:
    """Names of all shipped configs.

    >>> "demo.yaml" in shipped_names()
    True
    """
    return sorted(str(path.relative_to(_shipped_root())) for path in _shipped_root().rglob("*.yaml"))


def _find_shipped(path: Path) -> Path | None:
    name = Path(*path.parts[1:]) if path.parts[:1] == ("configs",) else path
    shipped = _shipped_root() / name
    return shipped if not path.is_absolute() and shipped.is_file() else None


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Read a config file and everything it includes into one plain mapping. Raises `ConfigError` if a file is missing,
    is not YAML, is not a mapping, or includes itself.
    """
    return _load_yaml(find_config(path), ())


def _load_yaml(path: Path, parents: tuple[Path, ...]) -> dict[str, Any]:
    path = path.resolve()
    if path in parents:
        chain = " -> ".join(str(p) for p in (*parents, path))
        raise ConfigError(f"config '{path}' includes itself ({chain}); remove one of the includes")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        detail = " ".join(str(error).split())
        raise ConfigError(f"config '{path}' is not valid YAML: {detail}") from error
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise ConfigError(f"config '{path}' must hold a mapping of keys to values, found {type(content).__name__}")
    includes = content.pop("include", [])
    includes = [includes] if isinstance(includes, str) else includes
    if not isinstance(includes, list) or not all(isinstance(name, str) for name in includes):
        raise ConfigError(f"config '{path}': `include` (={includes!r}) must be a file name or a list of file names")
    merged: dict[str, Any] = {}
    for name in includes:
        merged = merge(merged, _load_yaml(find_named_config(name, path), (*parents, path)))
    return merge(merged, content)


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML with two corrections: a repeated key is an error, and 1e-3 is a number (YAML 1.2), not text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' is written twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_scalar_number(self, node: yaml.ScalarNode) -> float:
        return float(self.construct_scalar(node).replace("_", ""))


_UniqueKeyLoader.yaml_implicit_resolvers = copy.deepcopy(yaml.SafeLoader.yaml_implicit_resolvers)
for _first in "-+0123456789.":
    _UniqueKeyLoader.add_implicit_resolver(
        "!exponent", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), [_first]
    )
_UniqueKeyLoader.add_constructor("!exponent", _UniqueKeyLoader.construct_scalar_number)


def merge(base: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """Merge two mappings key by key; where both hold a mapping, go down; else `update` wins.

    >>> merge({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
    {'a': {'x': 1, 'y': 3}}
    """
    result = dict(base)
    for key, value in update.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def parse_overrides(assignments: typing.Iterable[str]) -> dict[str, Any]:
    """Turn `a.b=value` assignments into a nested mapping; values are read as YAML. Raises `ConfigError` if an
    assignment has no `=` or an empty key, or if its value is not YAML.

    >>> parse_overrides(["optimizer.peak_rate=1e-3", "name=mine"])
    {'optimizer': {'peak_rate': 0.001}, 'name': 'mine'}
    """
    result: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise ConfigError(f"override '{assignment}' must have the form key=value, such as loop.epochs=5")
        try:
            value = yaml.load(text, Loader=_UniqueKeyLoader)
        except yaml.YAMLError as error:
            raise ConfigError(f"override '{assignment}': the value '{text}' is not valid YAML") from error
        for part in reversed(parts):
            value = {part: value}
        result = merge(result, value)
    return result


def build(settings_class: type[SettingsType], values: dict[str, Any], source: str) -> SettingsType:
    """Validate a plain mapping into a settings object.

    A `ConfigError` names the source (a file, "--set"), every bad key, its value, the rule, and the nearest known key.
    """
    try:
        return settings_class.model_validate(values)
    except pydantic.ValidationError as error:
        problems = "; ".join(_describe(settings_class, item) for item in error.errors())
        raise ConfigError(f"{source}: {problems}") from error


def _describe(settings_class: type[Settings], item: Any) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        parent = _settings_at(settings_class, item["loc"][:-1])
        known = sorted(parent.model_fields) if parent is not None else []
        hint = did_you_mean(str(item["loc"][-1]), known, f"known keys here: {', '.join(known)}")
        return f"unknown key '{key}'; {hint}"
    if item["type"] == "missing":
        return f"key '{key}' is required; add it"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error" and isinstance(item["input"], dict):  # a rule of several keys; it quotes them
        return f"in '{key}': {message}" if key else message
    null = ", or null for none" if _takes_null(settings_class, item["loc"]) else ""
    return f"'{key}' (={item['input']!r}): {message[0].lower()}{message[1:]}{null}" if key else message


def _takes_null(settings_class: type[Settings], location: tuple[Any, ...]) -> bool:
    """Return whether the field at a location may be null."""
    parent = _settings_at(settings_class, location[:-1])
    field = parent.model_fields.get(location[-1]) if parent is not None and location else None
    return field is not None and type(None) in typing.get_args(field.annotation)


def _settings_at(settings_class: type[Settings], location: tuple[Any, ...]) -> Any:
    """The settings class at a location, following optional and container types downwards, or None."""
    current: Any = settings_class
    for part in location:
        if isinstance(current, type) and issubclass(current, Settings) and part in current.model_fields:
            current = current.model_fields[part].annotation
        current = _settings_within(current)
    return _settings_within(current)


def _settings_within(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    inner = (_settings_within(argument) for argument in typing.get_args(annotation))
    return next((found for found in inner if found is not None), None)


def dump_yaml(settings: Settings) -> str:
    """Write settings as YAML that `load_yaml` and `build` read back to an equal object."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
