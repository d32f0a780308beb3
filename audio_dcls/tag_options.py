"""The options of tagging, stated once for Python, HTTP and the command line; importing them is cheap.

Axes: C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from audio_dcls.choices import Pooling, Short

LEAST_S = 0.01
"""Shortest window and hop: every window costs as much as a whole clip."""
FITTED = "fitted"


@runtime_checkable
class ArrayLike(Protocol):
    """An array of NumPy, or what turns into one."""

    def __array__(self) -> Any: ...


def _says(description: str, **limits: float) -> dict[str, Any]:
    return {"description": description, **limits}


@dataclass(frozen=True)
class Timeline:
    """How events are found in the scores of windows (`find_events`)."""

    off: float | None = field(
        default=None, metadata=_says("Score that ends an event (default: three quarters of the score that begins it).")
    )
    min_gap_s: float = field(
        default=0.0, metadata=_says("Join events of a class that are closer than this many seconds.")
    )
    min_duration_s: float = field(default=0.0, metadata=_says("Leave out events shorter than this many seconds."))


@dataclass(frozen=True, eq=False)
class TagOptions:
    """Options of `Tagger.tag`.

    In Python, `top_k` may also be None for all tags, `threshold` an array (C,) with one probability per class, and
    `timeline` a `Timeline` that says how events are found. `audio_dcls.inference.plan` checks the options.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"arbitrary_types_allowed": True}

    top_k: int | None = field(default=10, metadata=_says("Maximum number of tags per sound.", ge=1))
    threshold: float | Literal["fitted"] | ArrayLike | Sequence[float] | None = field(
        default=None,
        metadata=_says(
            "Leave out classes below this probability; fitted: one per class, which `eval --fit-thresholds` stored."
        ),
    )
    window_s: float | None = field(
        default=None,
        metadata=_says("Length of a window in seconds (default: the model's clip; 2 for a timeline).", ge=LEAST_S),
    )
    hop_s: float | None = field(
        default=None,
        metadata=_says(
            "Seconds between the starts of windows (default: one window; half a window for a timeline).", ge=LEAST_S
        ),
    )
    pooling: Pooling = field(
        default="mean", metadata=_says("How the score of a sound follows from the scores of its windows.")
    )
    short: Short = field(default="pad", metadata=_says("What fills a window that is shorter than the model's clip."))
    classes: Sequence[str] | None = field(
        default=None,
        metadata=_says("Only this class, and the classes below it in AudioSet's ontology; may be repeated."),
    )
    timeline: bool | Timeline = field(default=False, metadata=_says("Find events: when each sound begins and ends."))
    embeddings: bool = field(default=False, metadata=_says("Return the features that the classifier is given."))


def describe_option(name: str, options: type[TagOptions | Timeline] = TagOptions) -> str:
    """The description of an option, for help texts.

    >>> describe_option("top_k")
    'Maximum number of tags per sound.'
    """
    return options.__dataclass_fields__[name].metadata["description"]
