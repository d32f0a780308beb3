"""Model cards: what a checkpoint is, how it was made and how to use it, written from the checkpoint itself.

The YAML at the top is for the Hugging Face hub, and the rest is Markdown for people. The card contains only what the
file says, and no paths of the training data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from audio_dcls.evaluation.metrics import METRICS
from audio_dcls.labels import LabelSet
from audio_dcls.models.families import find_family

LICENCES = ("apache-2.0", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "cc0-1.0", "gpl-3.0", "mit")
"""The hub's names of licences that are common for weights; any other licence is called `other`."""

MAX_CLASSES_NAMED = 40
_TRAINING_KEYS = (
    ("loop", "epochs"),
    ("loop", "effective_batch"),
    ("loop", "precision"),
    ("optimizer", "name"),
    ("optimizer", "peak_rate"),
    ("optimizer", "weight_decay"),
    ("loss", "activation"),
    ("model", "drop_path_rate"),
)


def build_card(info: Mapping[str, Any], *, repo_id: str | None = None, licence: str | None = None) -> str:
    """The text of the card, for a README.md, from the JSON of a tagger's checkpoint.

    The repository is "owner/name", or None for a card next to a file. `licence` replaces the checkpoint's own licence.
    """
    licence = licence or info.get("licence")
    title = (repo_id or "").rpartition("/")[2] or _describe_model(info)
    parts = [
        f"---\n{_hub_data(info, title, licence).to_yaml()}\n---",
        f"# {title}",
        _summary(info),
        _usage(repo_id),
        _scores(info),
        _sound(info),
        _classes(info),
        _training(info),
        _limits(info, licence),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _hub_data(info: Mapping[str, Any], title: str, licence: str | None) -> ModelCardData:
    named = None if licence is None else licence.lower()
    is_listed = named in LICENCES
    scores = {key: value for key, value in (info.get("metrics") or {}).items() if key in METRICS}
    results = [
        EvalResult(
            task_type="audio-classification",
            dataset_type="audio-tagging",
            dataset_name="evaluation clips of its training",
            metric_type=key,
            metric_name=METRICS[key].card_title or METRICS[key].title,
            metric_value=value,
        )
        for key, value in scores.items()
    ]
    return ModelCardData(
        library_name="audio-dcls",
        pipeline_tag="audio-classification",
        tags=["audio", "audio-tagging", *(["dcls"] if info["model"].get("dcls") else [])],
        license=(named if is_listed else "other") if named is not None else None,
        license_name=licence if named is not None and not is_listed else None,
        model_name=title if results else None,
        eval_results=results or None,
    )


def _describe_model(info: Mapping[str, Any]) -> str:
    return info["model"]["name"] + ("-dcls" if info["model"].get("dcls") else "")


def _summary(info: Mapping[str, Any]) -> str:
    model, dcls = info["model"], info["model"].get("dcls")
    text = (
        f"An audio tagger: a {find_family(model['name']).title} ({model['name']}) on log-mel spectrograms, with "
        f"{len(info['labels']['ids'])} classes."
    )
    if dcls:
        size = "x".join(str(taps) for taps in dcls["kernel_size"])
        text += (
            f" Its large depthwise convolutions are DCLS: {dcls['kernel_count']} elements at learned positions in a "
            f"kernel of {size} taps, {dcls['interpolation']} interpolation "
            "([arXiv 2309.13972](https://arxiv.org/abs/2309.13972))."
        )
    if info.get("source"):
        text += f"\n\nConverted from the weights that its authors published at {info['source']}."
    return text


def _usage(repo_id: str | None) -> str:
    source = f"hf:{repo_id}" if repo_id else "model.safetensors"
    return (
        "## Use\n\n"
        "With audio-dcls installed:\n\n"
        f"```\naudio-dcls tag --checkpoint {source} sound.wav\n```\n\n"
        "```python\nfrom audio_dcls.inference import Tagger\n\n"
        f'for tag in Tagger.load("{source}").tag("sound.wav").tags:\n    print(tag.name, tag.score)\n```'
    )


def _scores(info: Mapping[str, Any]) -> str:
    metrics, published = info.get("metrics"), info.get("published")
    lines = []
    if metrics:
        lines += ["| score | value |", "| --- | --- |"]
        lines += [
            f"| {METRICS[key].card_title or METRICS[key].title} | {METRICS[key].format(value)} |"
            for key, value in metrics.items()
            if key in METRICS
        ]
        if metrics.get("num_clips"):
            lines += ["", f"On {metrics['num_clips']} clips, whose ids have the hash `{metrics.get('clip_id_hash')}`."]
    elif published:
        lines.append(
            f"mAP {100 * published['mAP_mean']:.2f} ± {100 * published['mAP_std']:.2f} % on the evaluation clips of "
            f"{published['trained_on']}, as its authors report over {published['num_seeds']} seeds; this is the "
            "model of one seed."
        )
    else:
        lines.append("The file contains no scores.")
    return "\n".join(["## Scores", "", *lines])


def _sound(info: Mapping[str, Any]) -> str:
    frontend = info["frontend"]
    return (
        "## Sound\n\n"
        f"Mono at {frontend['sample_rate_hz']} Hz in clips of {frontend['clip_s']:g} s; {frontend['num_mels']} mel "
        f"bands from {frontend['low_hz']:g} to {frontend['high_hz']:g} Hz, every {frontend['hop_samples']} samples, in "
        f"dB, less {frontend['mean_db']:g} and divided by {frontend['std_db']:g}. The program resamples sounds, "
        "mixes them to mono and splits longer ones into windows."
    )


def _classes(info: Mapping[str, Any]) -> str:
    names = info["labels"]["names"]
    if tuple(info["labels"]["ids"]) == LabelSet.audioset().ids:
        text = "The 527 classes of AudioSet, in its order."
    else:
        more = f", and {len(names) - MAX_CLASSES_NAMED} more" if len(names) > MAX_CLASSES_NAMED else ""
        text = ", ".join(names[:MAX_CLASSES_NAMED]) + more + "."
    if info.get("activation") == "softmax":
        text += " One of them at a time: probabilities add up to 1."
    if info.get("thresholds"):
        text += f" It contains one threshold per class, fitted on '{info['thresholds']['split']}'."
    return f"## Classes\n\n{text}"


def _training(info: Mapping[str, Any]) -> str:
    config = info.get("config") or {}
    found = [(f"{section}.{key}", config.get(section, {}).get(key)) for section, key in _TRAINING_KEYS]
    rows = [(key, value) for key, value in found if value is not None]
    rows += [(key, info[key]) for key in ("seed", "step", "epoch") if info.get(key) is not None]
    rows += [(f"version of {name}", version) for name, version in (info.get("versions") or {}).items()]
    if not rows:
        return ""
    lines = ["## How it was made", "", "| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows)]
    return "\n".join(lines)


def _limits(info: Mapping[str, Any], licence: str | None) -> str:
    text = (
        "## Limits\n\nThe probabilities hold for recordings like those that it was trained on: measure it on some of "
        "yours before you act on them. Sounds shorter than its clips are padded, by default with silence."
    )
    if info.get("step") is not None and not info.get("metrics"):
        text += " The file contains no scores on held-out clips."
    return f"{text}\n\n## Licence\n\n{licence}" if licence else f"{text}\n\n## Licence\n\nNo licence is named."
