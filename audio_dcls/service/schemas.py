"""What the service sends and takes, as models."""

from __future__ import annotations

from typing import Literal

import pydantic

from audio_dcls.service.runs.schemas import Recipe


class Tag(pydantic.BaseModel):
    """One class heard."""

    id: str
    """AudioSet MID, or the id of the model's own label file."""
    name: str
    score: float
    """Probability, 0 to 1."""


class Event(pydantic.BaseModel):
    """One class heard from when to when."""

    id: str
    name: str
    onset_s: float
    offset_s: float
    score: float
    """Highest score between them."""


class Spectrogram(pydantic.BaseModel):
    """Mel power, row after row from the lowest; 255 is the loudest place, 0 is 80 dB beneath it."""

    height: int
    width: int
    data: str
    """Base64 of height x width bytes."""


class Picture(pydantic.BaseModel):
    """What a sound looks like."""

    duration_s: float
    envelope: list[tuple[float, float]]
    """Lowest and highest sample along the sound."""
    spectrogram: Spectrogram
    low_hz: float
    high_hz: float


class TagResponse(pydantic.BaseModel):
    """Tags of one sound."""

    path: str
    """The sender's name of the sound."""
    duration_s: float
    num_windows: int
    tags: list[Tag]
    """Best first."""
    events: list[Event] | None = None
    """By onset; where a timeline was asked for."""
    model: str
    picture: Picture | None = None
    """Where it was asked for."""


class TagFailed(pydantic.BaseModel):
    """A sound that cannot be tagged."""

    path: str
    reason: str
    error: str


class BatchResponse(pydantic.BaseModel):
    """Outcomes of several sounds, in their order."""

    results: list[TagResponse | TagFailed]


class ModelResponse(pydantic.BaseModel):
    """A model."""

    name: str
    state: Literal["unloaded", "loading", "loaded", "failed"]
    is_default: bool
    is_removable: bool
    """Whether its file is the service's own."""
    source: str
    architecture: str | None = None
    num_classes: int | None = None
    sample_rate_hz: int | None = None
    clip_s: float | None = None
    """Length of the clips it was trained on."""
    mAP: float | None = None  # noqa: N815
    """As measured when it was trained."""
    error: str | None = None
    """Why it could not be loaded."""


class ModelList(pydantic.BaseModel):
    """All models."""

    models: list[ModelResponse]


class Limits(pydantic.BaseModel):
    """What is taken at most."""

    max_upload_mb: float
    max_duration_s: float
    max_batch_files: int


class Info(pydantic.BaseModel):
    """What a page or client wants to know first."""

    version: str
    default_model: str | None
    keys_required: bool
    scopes: list[str]
    """What the sender of this request may do."""
    training: bool
    """Whether runs may be started."""
    limits: Limits
    recipes: list[Recipe]
    """Configs that runs may start from."""
