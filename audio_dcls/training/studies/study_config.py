"""A study of several cases: the YAML file that names them, and the plan that is built from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pydantic

from audio_dcls.data.config import DataConfig
from audio_dcls.errors import ConfigError
from audio_dcls.near_names import did_you_mean
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.resumable_keys import RESUMABLE_KEYS, flat_values, override_resumable_keys
from audio_dcls.settings import Settings, build, find_config, find_named_config, load_yaml, merge, parse_overrides

Name = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
Seeds = Annotated[tuple[Annotated[int, pydantic.Field(ge=0)], ...], pydantic.Field(min_length=1)]

TABLE_FOLDER = "table"
OWN_KEYS = ("name", "seeds")
"""Keys of a training config that a study sets for all of its cases."""
SHARED_KEYS = (
    *(f"data.{name}" for name in DataConfig.model_fields if f"data.{name}" not in RESUMABLE_KEYS),
    "frontend.sample_rate_hz",
    "frontend.clip_s",
    "loop.accelerator",
    "loop.devices",
    "loop.precision",
)
"""Keys in which the cases of a study must agree, so that they can be compared and trained by one process."""


class CaseSettings(Settings):
    """One case in a study file."""

    config: str
    """Path of a training config, relative to the study file."""
    set: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Values that replace those of the config, as nested mappings."""
    baseline: str | None = None
    """The case that this one is compared with, seed by seed."""


class StudySettings(Settings):
    """A study file."""

    name: Name = "study"
    """Name of the study's folder: letters, digits, dot, dash and underscore."""
    seeds: Seeds
    """Each case is trained once per seed; the seeds of the cases' own configs are ignored."""
    set: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Values that replace those of every case, as nested mappings; a case's own `set` is applied after it."""
    cases: Annotated[dict[Name, CaseSettings], pydantic.Field(min_length=1)]
    """The cases, by name, in the order of the table."""


class PlannedCase(Settings):
    """One case with its whole config."""

    baseline: str | None = None
    """The case that this one is compared with."""
    config: TrainConfig
    """The case's config, with the name and seeds of the study."""


class StudyPlan(Settings):
    """A study with the whole config of every case: the content of `study.yaml` in its folder."""

    name: Name
    seeds: Seeds
    cases: Annotated[dict[Name, PlannedCase], pydantic.Field(min_length=1)]

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> StudyPlan:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"`seeds` (={list(self.seeds)}) must be distinct")
        for name, case in self.cases.items():
            if name == TABLE_FOLDER:
                raise ValueError(f"case '{name}' must have another name: the folder of the study's table has this name")
            if case.baseline == name or case.baseline not in (None, *self.cases):
                others = ", ".join(other for other in self.cases if other != name) or "there is no other"
                raise ValueError(f"`cases.{name}.baseline` (='{case.baseline}') must be another case: {others}")
        self._check_shared()
        return self

    def _check_shared(self) -> None:
        first, *others = self.cases
        expected = flat_values(self.cases[first].config)
        for name in others:
            found = flat_values(self.cases[name].config)
            for key in SHARED_KEYS:
                if found[key] != expected[key]:
                    raise ValueError(
                        f"the cases of a study must have the same `{key}`: it is {found[key]!r} in case '{name}' and "
                        f"{expected[key]!r} in case '{first}'; set it for all of them, or make two studies"
                    )

    @property
    def shared(self) -> TrainConfig:
        """The first case's config; all cases have the same values of `SHARED_KEYS`."""
        return next(iter(self.cases.values())).config

    def runs(self, only: Sequence[str] = ()) -> list[tuple[str, int]]:
        """Pairs of case and seed in the order of training: every case's first seed, then every case's second.

        In this order the cases can be compared on one seed as early as possible. With choices such as `case=A,seed=0`,
        `case=A` or `seed=0`, only the pairs that match any of them. Raises `ConfigError` if a choice has another form,
        or names a case or a seed that is not in the study.

        >>> tiny = {name: PlannedCase(config=TrainConfig()) for name in ("a", "b")}
        >>> StudyPlan(name="s", seeds=(0, 1), cases=tiny).runs(["case=b", "case=a,seed=1"])
        [('b', 0), ('a', 1), ('b', 1)]
        """
        pairs = [(case, seed) for seed in self.seeds for case in self.cases]
        if not only:
            return pairs
        chosen = [self._choice(text) for text in only]
        return [(case, seed) for case, seed in pairs if any(c in (None, case) and s in (None, seed) for c, s in chosen)]

    def _choice(self, text: str) -> tuple[str | None, int | None]:
        """Case and seed of a text such as `case=A,seed=0`; None for the one that is missing."""
        found: dict[str, str] = {}
        for part in text.split(","):
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or key not in ("case", "seed") or key in found:
                raise ConfigError(f"--only '{text}' must have the form case=NAME,seed=NUMBER, or one of its parts")
            found[key] = value
        case, seed = found.get("case"), found.get("seed")
        if case is not None and case not in self.cases:
            hint = did_you_mean(case, self.cases, f"its cases are {', '.join(self.cases)}")
            raise ConfigError(f"--only '{text}': study '{self.name}' has no case '{case}'; {hint}")
        known = {str(number): number for number in self.seeds}
        if seed is not None and seed not in known:
            raise ConfigError(
                f"--only '{text}': study '{self.name}' has no seed '{seed}'; its seeds are {[*self.seeds]}"
            )
        return case, None if seed is None else known[seed]

    def differences(self, other: StudyPlan) -> list[str]:
        """Keys in which another plan would train something else; `RESUMABLE_KEYS` are ignored."""
        mine, theirs = _plan_values(self), _plan_values(other)
        return [key for key in (*mine, *(theirs.keys() - mine.keys())) if mine.get(key) != theirs.get(key)]

    def override_resumable_keys(self, overrides: Sequence[str]) -> StudyPlan:
        """The plan with other values of resumable keys in every case. Raises `ConfigError` if an override would change
        what is trained.
        """
        cases = {
            name: PlannedCase(baseline=case.baseline, config=override_resumable_keys(case.config, overrides))
            for name, case in self.cases.items()
        }
        return self.model_copy(update={"cases": cases})


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> StudyPlan:
    """Read a study file, or a shipped one such as `configs/paper/study.yaml`, and the configs that it names.

    The overrides, `KEY=VALUE`, are applied to every case, last; `name` and `seeds` apply to the study itself. Raises
    `ConfigError` if a file is missing, a key is unknown, or the cases do not fit together.
    """
    found = find_config(path)
    own = parse_overrides(overrides)
    own_values = {key: own.pop(key) for key in OWN_KEYS if key in own}
    source = f"study '{path}'" + (" with --set " + " ".join(overrides) if overrides else "")
    settings = build(StudySettings, merge(load_yaml(found), own_values), source)
    cases = {}
    for name, case in settings.cases.items():
        values = load_yaml(find_named_config(case.config, found))
        for update in (settings.set, case.set):
            for key in OWN_KEYS:
                if key in update:
                    raise ConfigError(f"{source}: `set.{key}` must be left out; a study's {key} is its own key `{key}`")
            values = merge(values, update)
        values = merge(values, {**own, "name": settings.name, "seeds": list(settings.seeds)})
        config = build(TrainConfig, values, f"{source}, case '{name}' (config '{case.config}')")
        cases[name] = {"baseline": case.baseline, "config": config}
    return build(StudyPlan, {"name": settings.name, "seeds": settings.seeds, "cases": cases}, source)


def _plan_values(plan: StudyPlan) -> dict[str, Any]:
    values: dict[str, Any] = {"name": plan.name, "seeds": list(plan.seeds)}
    for name, case in plan.cases.items():
        values[f"cases.{name}.baseline"] = case.baseline
        for key, value in flat_values(case.config).items():
            if key not in RESUMABLE_KEYS and key not in OWN_KEYS:
                values[f"cases.{name}.{key}"] = value
    return values
