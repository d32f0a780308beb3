"""The metadata of an exported graph, and the model card that is written next to it."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from typing import Any

from audio_dcls.inference.backends.graph_info import INPUT_NAME, METADATA_KEY, OUTPUT_NAMES, GraphInfo
from audio_dcls.labels import LabelSet
from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint
from audio_dcls.models.families import find_family
from audio_dcls.models.stem import PATCH_SIZE


def describe(loaded: LoadedCheckpoint) -> GraphInfo:
    """Return the metadata of a checkpoint's graph."""
    info, frontend = loaded.info, loaded.frontend
    num_frames = find_family(info["model"]["name"]).min_map_size * PATCH_SIZE[1]
    kept = ("model", "frontend", "seed", "step", "epoch", "metrics", "licence", "versions")
    return GraphInfo(
        labels=loaded.labels,
        sample_rate_hz=frontend.sample_rate_hz,
        clip_samples=frontend.clip_samples,
        min_samples=max((num_frames - 1) * frontend.hop_samples, frontend.fft_size // 2 + 1),
        activation=loaded.activation,
        thresholds=loaded.thresholds,
        details={key: info[key] for key in kept if info.get(key) is not None}
        | {"exported_by": f"audio-dcls {importlib.metadata.version('audio-dcls')}"},
    )


def model_card(info: GraphInfo, facts: Mapping[str, str], notes: Mapping[str, str]) -> str:
    """A model card in Markdown.

    `facts` are the first rows of its table: the file, and how it was checked. `notes` are headings and paragraphs.
    """
    details = info.details
    model = details["model"]
    name = model["name"] + ("-dcls" if model.get("dcls") is not None else "")
    lines = ["---", "library_name: audio_dcls", "pipeline_tag: audio-classification", "tags: [audio-tagging, dcls]"]
    if details.get("licence"):
        lines.append(f"license: {json.dumps(details['licence'])}")
    lines += ["---", "", f"# {name}, {len(info.labels)} classes", ""]
    lines += ["| | |", "| --- | --- |"]
    rows = {
        **facts,
        "sample rate": f"{info.sample_rate_hz} Hz, mono, samples from -1 to 1",
        "trained on": f"clips of {info.clip_samples / info.sample_rate_hz:g} s, shorter ones padded with zeros",
        "shortest sound": f"{info.min_samples} samples ({info.min_samples / info.sample_rate_hz:.2f} s)",
        "probabilities": f"{info.activation} of {len(info.labels)} classes",
        **{f"its {key}": f"{value:.4f}" for key, value in _scores(details).items()},
    }
    lines += [f"| {key} | {value} |" for key, value in rows.items()]
    for heading, text in notes.items():
        lines += ["", f"## {heading}", "", text]
    lines += ["", "## Classes", "", _class_list(info.labels), ""]
    return "\n".join(lines)


def graph_usage(info: GraphInfo) -> str:
    """Describe the inputs and outputs of a graph."""
    return (
        f"Input `{INPUT_NAME}`: float32 (batch, samples), both sizes free; the spectrogram is computed inside. "
        f"Output `{OUTPUT_NAMES[0]}`: float32 (batch, classes). Output `{OUTPUT_NAMES[1]}`: float32 (batch, features), "
        "the input of the classifier. The classes in their order, the thresholds and the configs are stored as JSON "
        f"under `{METADATA_KEY}` in the file's metadata. `audio-dcls tag` pads a shorter sound with zeros to "
        f"{info.clip_samples} samples, the clip the model was trained on, and cuts a longer one into windows of that "
        "length, whose probabilities it averages; the graph itself does not pad or cut."
    )


def _scores(details: Mapping[str, Any]) -> dict[str, float]:
    found = details.get("metrics") or {}
    return {key: found[key] for key in ("mAP", "AUC", "accuracy") if isinstance(found.get(key), float)}


def _class_list(labels: LabelSet) -> str:
    return "\n".join(
        f"{c}. {name} (`{mid}`)" for c, (mid, name) in enumerate(zip(labels.ids, labels.names, strict=True))
    )
