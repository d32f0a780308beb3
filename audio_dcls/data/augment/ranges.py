"""Types of the numbers in augmentation configs."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

Number = TypeVar("Number", bound=float)


def _check_ascends(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError("must be (low, high) with low <= high; swap them")
    return limits


Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
Decibels = Annotated[float, Field(allow_inf_nan=False)]
Range = Annotated[tuple[Number, Number], AfterValidator(_check_ascends)]
"""Lowest and highest value, the same or ascending."""
