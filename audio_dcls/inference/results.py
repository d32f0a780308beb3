"""What tagging returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tag:
    """One class heard, with its probability."""

    id: str
    """AudioSet MID, or the id of the label file the model was trained with."""
    name: str
    score: float
    """Probability, 0 to 1."""


@dataclass(frozen=True)
class TagResult:
    """Tags of one sound, best first."""

    path: str
    duration_s: float
    num_windows: int
    tags: tuple[Tag, ...]

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": self.path,
            "duration_s": round(self.duration_s, 3),
            "num_windows": self.num_windows,
            "tags": [{"id": t.id, "name": t.name, "score": round(t.score, 6)} for t in self.tags],
        }
