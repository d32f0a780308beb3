"""The settings of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass

from audio_dcls.errors import ArgumentError
from audio_dcls.speed.machine import DTYPES

SUITE_NAMES = ("construction", "layer", "train", "inference", "memory")
PEER_NAMES = ("dcls", "7x7", "stock", "authors")


@dataclass(frozen=True)
class BenchSettings:
    """The measurements of a benchmark, and their number of rounds; use at least 7 rounds for figures to publish.

    Models have timm's names, each number of clips per batch is a separate case, and "dcls" must be among the peers.
    Raises `ArgumentError` if a name is unknown, or a number is below 1.

    >>> BenchSettings(suites=("layers",))
    Traceback (most recent call last):
        ...
    audio_dcls.errors.ArgumentError: `suites` (='layers') must be among construction, layer, train, inference, memory
    """

    suites: tuple[str, ...] = SUITE_NAMES
    models: tuple[str, ...] = ("convnext_tiny",)
    batches: tuple[int, ...] = (8,)
    precisions: tuple[str, ...] = ("fp32", "bf16")
    peers: tuple[str, ...] = PEER_NAMES
    device: str = "cpu"
    num_rounds: int = 7

    def __post_init__(self) -> None:
        for name, known in (("suites", SUITE_NAMES), ("precisions", tuple(DTYPES)), ("peers", PEER_NAMES)):
            for value in getattr(self, name):
                if value not in known:
                    raise ArgumentError(f"`{name}` (={value!r}) must be among {', '.join(known)}")
        if "dcls" not in self.peers:
            raise ArgumentError(f"`peers` (={', '.join(self.peers)}) must hold 'dcls': the others are compared with it")
        if min((*self.batches, self.num_rounds)) < 1:
            raise ArgumentError(f"`batches` (={self.batches}) and `num_rounds` (={self.num_rounds}) must be at least 1")
