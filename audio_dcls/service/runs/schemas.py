"""What the service takes and sends of training runs."""

from __future__ import annotations

from typing import Annotated, Any

import pydantic

from audio_dcls.service.runs.queue import RunKind, RunState

Seed = Annotated[int, pydantic.Field(ge=0)]


class RunRequest(pydantic.BaseModel):
    """A run to be trained."""

    model_config = pydantic.ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"config": "demo.yaml", "overrides": {"loop.epochs": 2}, "seeds": [0]}]},
    )

    config: str | dict[str, Any]
    """Name of a config, or the config itself; what has `cases` is a study of several."""
    overrides: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Other values by dotted key, such as `loop.epochs`; of a study, in every case."""
    seeds: list[Seed] | None = None
    """One run is trained for each; the config's by default."""
    name: str | None = None
    """The config's by default."""


class ModelRequest(pydantic.BaseModel):
    """A model to be made of a run."""

    model_config = pydantic.ConfigDict(extra="forbid")

    name: str
    """1 to 64 letters, digits, dots, dashes and underscores."""
    seed: Seed | None = None
    """The first that has a checkpoint by default."""
    case: str | None = None
    """Of a study of several cases, which."""
    best: bool = False
    """The checkpoint that did best on the validation splits, rather than the newest."""


class SeedView(pydantic.BaseModel):
    """How far one seed has come."""

    seed: int
    case: str | None = None
    """Of a study of several cases."""
    state: str
    """waiting, running, stopped, done or failed."""
    step: int = 0
    num_steps: int | None = None
    epoch: float = 0.0
    num_epochs: int | None = None
    loss: float | None = None
    mAP: float | None = None  # noqa: N815
    """Of its last evaluation."""


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
    """Times it was started."""
    position: int | None
    """Place in the queue, from 1, while it is queued."""
    error: str | None
    seeds: list[SeedView]
    progress: float
    """0 to 1, over all its seeds."""
    time_left_s: float | None
    """By the speed of its last steps; evaluations not counted."""
    mAP: ScoreSummary | None  # noqa: N815
    """None before a seed is done, and for a study of several cases."""
    has_per_class: bool
    """Whether scores per class are there; they are measured once it is done."""
    models: list[str]
    """Names of the models made of it."""


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
    """By seed, in a study of several cases by `CASE/SEED`; None where no clip has the class."""
    num_clips: int | None
    """Clips measured on that have it."""


class PerClass(pydantic.BaseModel):
    """Average precision of every class; empty before a run is measured."""

    classes: list[ClassScores]


class RecipeFields(pydantic.BaseModel):
    """What a recipe has for the fields of a form."""

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
    """As `POST /v1/runs` takes it."""
    title: str
    description: str
    needs_data: bool
    """Whether `data.manifests` must be named."""
    fields: RecipeFields
