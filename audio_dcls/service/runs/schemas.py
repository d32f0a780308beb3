"""Requests and responses about training runs, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Any

import pydantic

from audio_dcls.service.runs.queue import RunKind, RunState

Seed = Annotated[int, pydantic.Field(ge=0)]


class RunRequest(pydantic.BaseModel):
    """A run to train."""

    model_config = pydantic.ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"config": "demo.yaml", "overrides": {"loop.epochs": 2}, "seeds": [0]}]},
    )

    config: str | dict[str, Any]
    """Name of a config, or the config itself; a config with `cases` is a study."""
    overrides: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Other values by dotted key, such as `loop.epochs`; in a study they apply to every case."""
    seeds: list[Seed] | None = None
    """One run is trained per seed; by default the seeds of the config."""
    name: str | None = None
    """By default the name in the config."""


class ModelRequest(pydantic.BaseModel):
    """A model to make from a run."""

    model_config = pydantic.ConfigDict(extra="forbid")

    name: str
    """1 to 64 letters, digits, dots, dashes and underscores."""
    seed: Seed | None = None
    """By default the first seed with a checkpoint."""
    case: str | None = None
    """The case, in a study of several cases."""
    best: bool = False
    """Take the checkpoint that did best on the validation splits, not the newest one."""


class SeedView(pydantic.BaseModel):
    """The progress of one seed."""

    seed: int
    case: str | None = None
    """The case, in a study of several cases."""
    state: str
    """waiting, running, stopped, done or failed."""
    step: int = 0
    num_steps: int | None = None
    epoch: float = 0.0
    num_epochs: int | None = None
    loss: float | None = None
    mAP: float | None = None  # noqa: N815
    """The score of its last evaluation."""


class ScoreSummary(pydantic.BaseModel):
    """Mean and sample standard deviation over the seeds that are done."""

    mean: float
    std: float | None
    """None for a single seed."""
    num_seeds: int


class RunView(pydantic.BaseModel):
    """A run."""

    id: str
    name: str
    kind: RunKind
    state: RunState
    created: str
    started: str | None
    ended: str | None
    owner: str | None
    """Name of the API key that submitted it."""
    folder: str
    engine: str
    attempts: int
    """The number of starts."""
    position: int | None
    """Place in the queue, from 1, while it is queued."""
    error: str | None
    seeds: list[SeedView]
    progress: float
    """0 to 1, over all seeds."""
    time_left_s: float | None
    """Estimated from the speed of the last steps, without evaluations."""
    mAP: ScoreSummary | None  # noqa: N815
    """None until a seed is done, and for a study of several cases."""
    has_per_class: bool
    """Whether scores per class exist; they are computed once the run is done."""
    models: list[str]
    """Names of the models made from it."""


class RunList(pydantic.BaseModel):
    """All runs, newest first."""

    runs: list[RunView]


class TrainSeries(pydantic.BaseModel):
    """Columns of equal length."""

    step: list[int] = pydantic.Field(default_factory=list)
    epoch: list[float | None] = pydantic.Field(default_factory=list)
    loss: list[float | None] = pydantic.Field(default_factory=list)
    rate: list[float | None] = pydantic.Field(default_factory=list)
    clips_per_s: list[float | None] = pydantic.Field(default_factory=list)


class EvalSeries(pydantic.BaseModel):
    """Columns of equal length."""

    step: list[int] = pydantic.Field(default_factory=list)
    epoch: list[float | None] = pydantic.Field(default_factory=list)
    mAP: list[float | None] = pydantic.Field(default_factory=list)  # noqa: N815


class SeedSeries(pydantic.BaseModel):
    """The curves of one seed."""

    seed: int
    case: str | None
    train: TrainSeries
    eval: EvalSeries


class RunMetrics(pydantic.BaseModel):
    """The curves of a run."""

    series: list[SeedSeries]


class ClassScores(pydantic.BaseModel):
    """Average precision of one class."""

    id: str
    name: str
    seeds: dict[str, float | None]
    """By seed, in a study of several cases by `CASE/SEED`; None if no clip has the class."""
    num_clips: int | None
    """Evaluation clips that have the class."""


class PerClass(pydantic.BaseModel):
    """Average precision per class; empty until the run is measured."""

    classes: list[ClassScores]


class RecipeFields(pydantic.BaseModel):
    """The values of a recipe that a form shows."""

    epochs: int
    """`loop.epochs`."""
    learning_rate: float
    """`optimizer.peak_rate`."""
    batch: int
    """`loop.effective_batch`."""
    seeds: list[int]


class Recipe(pydantic.BaseModel):
    """A config to start from."""

    name: str
    """The name for `POST /v1/runs`."""
    title: str
    description: str
    needs_data: bool
    """Whether `data.manifests` must be given."""
    fields: RecipeFields
