"""Describe a model by the metadata in its file, without loading its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from audio_dcls.errors import AudioDclsError
from audio_dcls.models.checkpoint.tensor_file import load_info
from audio_dcls.models.find_model import find_model


def read_card(source: str) -> dict[str, Any]:
    """Architecture, classes and score of a model, from a path or the name of published weights.

    The mapping is empty for published weights, and if the file is missing or cannot be read; loading the model then
    reports the error.
    """
    try:
        if not Path(source).exists():
            return {}
        info = load_info(find_model(source))
    except (AudioDclsError, OSError):
        return {}
    if info.get("kind") != "tagger":
        return {}
    model, frontend = info["model"], info["frontend"]
    return {
        "architecture": model["name"] + ("" if model.get("dcls") is None else ", DCLS"),
        "num_classes": len(info["labels"]["ids"]),
        "sample_rate_hz": frontend["sample_rate_hz"],
        "clip_s": frontend["clip_s"],
        "mAP": (info.get("metrics") or {}).get("mAP"),
    }
