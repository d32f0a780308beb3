"""Responses of the service, as pydantic models."""

from __future__ import annotations

from typing import Literal

import pydantic

from audio_dcls.service.runs.schemas import Recipe


class Tag(pydantic.BaseModel):
    """One class that was found in a sound."""

    id: str
    """AudioSet MID, or the id in the model's own label file."""
    name: str
    score: float
    """Probability, 0 to 1."""


class Event(pydantic.BaseModel):
    """One class, from its onset to its offset."""

    id: str
    name: str
    onset_s: float
    offset_s: float
    score: float
    """The highest score between onset and offset."""


class Spectrogram(pydantic.BaseModel):
    """Mel power, row by row from the lowest band; 255 is the maximum, 0 is 80 dB below it."""

    height: int
    width: int
    data: str
    """Base64 text of height x width bytes."""


class Picture(pydantic.BaseModel):
    """The envelope and the spectrogram of a sound."""

    duration_s: float
    envelope: list[tuple[float, float]]
    """Lowest and highest sample, in equal parts of the sound."""
    spectrogram: Spectrogram
    low_hz: float
    high_hz: float


class TagResponse(pydantic.BaseModel):
    """Tags of one sound."""

    path: str
    """The sender's name for the sound."""
    duration_s: float
    num_windows: int
    tags: list[Tag]
    """Best first."""
    events: list[Event] | None = None
    """Ordered by onset; only with `timeline`."""
    model: str
    picture: Picture | None = None
    """Only with `picture`."""


class TagFailed(pydantic.BaseModel):
    """A sound that cannot be tagged."""

    path: str
    reason: str
    error: str


class BatchResponse(pydantic.BaseModel):
    """The outcomes for several sounds, in their order."""

    results: list[TagResponse | TagFailed]


class ModelResponse(pydantic.BaseModel):
    """A model."""

    name: str
    state: Literal["unloaded", "loading", "loaded", "failed"]
    is_default: bool
    is_removable: bool
    """Whether the service made its file and may delete it."""
    source: str
    architecture: str | None = None
    num_classes: int | None = None
    sample_rate_hz: int | None = None
    clip_s: float | None = None
    """Length of the clips it was trained on."""
    mAP: float | None = None  # noqa: N815
    """The score measured during training."""
    error: str | None = None
    """The reason why it could not be loaded."""


class ModelList(pydantic.BaseModel):
    """All models."""

    models: list[ModelResponse]


class Limits(pydantic.BaseModel):
    """Limits of requests."""

    max_upload_mb: float
    max_duration_s: float
    max_batch_files: int


class Info(pydantic.BaseModel):
    """Information for pages and clients."""

    version: str
    default_model: str | None
    keys_required: bool
    scopes: list[str]
    """The scopes of this request's sender."""
    training: bool
    """Whether runs may be started."""
    limits: Limits
    recipes: list[Recipe]
    """Configs from which a page can start a run."""
