"""Formats of a checkpoint's JSON: this program writes the newest and reads all.

1. The beginning: no checksum; whether the scores are sigmoid's or softmax's is not said where it is sigmoid's.
2. A checksum of the file; `activation`, `thresholds` and `licence` always stand there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from audio_dcls.errors import CheckpointError

FORMAT_VERSION = 2


def migrate(info: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """The JSON of any format as the newest has it.

    Args:
        info: as it was read.
        path: the file, for messages.

    Raises:
        CheckpointError: the format is newer than this program, or none.

    >>> migrate({"format_version": 1, "kind": "tagger", "aliases": {}}, "a.safetensors")["thresholds"] is None
    True
    """
    version = info.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise CheckpointError(f"checkpoint '{path}' has format {version!r}, which is none; restore a copy of it")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint '{path}' has format {version}, this program reads up to {FORMAT_VERSION}; upgrade audio-dcls"
        )
    for older in range(version, FORMAT_VERSION):
        info = {**_MIGRATIONS[older](info), "format_version": older + 1}
    return info


def _from_1(info: Mapping[str, Any]) -> dict[str, Any]:
    if info.get("kind") != "tagger":
        return dict(info)
    return {"activation": "sigmoid", "thresholds": None, "licence": None, **info}


_MIGRATIONS: Mapping[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: _from_1}
"""What turns each format into the next."""
