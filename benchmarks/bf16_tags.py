"""Claim: bfloat16 changes a tag only if its probability is very close to the threshold or to that of the next tag.

It tags the evaluation clips of a manifest in float32 and in bfloat16 with each trained model, as `audio-dcls tag` does,
and compares the results: the first tag, the tags above a threshold, and the distance from the threshold, in float32, of
the tags that appear or disappear. `bf16_accuracy.py` measures the effect on mAP. It writes bf16_tags.json and takes a
minute per model, after

    audio-dcls train && python benchmarks/bf16_tags.py runs/*/seed-*
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audio_dcls.data import load_manifest
from audio_dcls.data.sound.sound_stream import Sound
from audio_dcls.data.sources import ClipSound
from audio_dcls.inference import Tagger, TagResult
from audio_dcls.inference.backends import BackendName, Precision
from audio_dcls.models.find_model import find_model
from audio_dcls.speed.machine import describe_machine
from bench_tools.results import RESULTS, argument_parser, report_progress

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("models", nargs="+", help="checkpoint files, seed-N or study folders")
    parser.add_argument("--manifest", type=Path, default=Path("demo_corpus/manifest.csv"), help="what to tag")
    parser.add_argument("--split", default="eval", help="split of the manifest")
    parser.add_argument("--limit", type=int, help="largest number of clips")
    parser.add_argument("--threshold", type=float, default=0.5, help="probability from which a tag is shown")
    parser.add_argument("--backend", default="torch", choices=["torch", "openvino"], help="inference backend")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = {}
    for model in args.models:
        report_progress(model)
        full, half = (score_clips(model, precision, args) for precision in PRECISIONS)
        rows[model] = compare(full, half, args.threshold)
    report = {
        "benchmark": "bf16_tags",
        "machine": describe_machine(torch.device("cpu")),
        "settings": {"split": args.split, "threshold": args.threshold, "backend": args.backend},
        "models": rows,
    }
    text = json.dumps(report, indent=1) + "\n"
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "bf16_tags.json").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def score_clips(model: str, precision: Precision, args: argparse.Namespace) -> np.ndarray:
    """(N, C) probabilities of N clips."""
    backend: BackendName = args.backend
    tagger = Tagger.load(find_model(model), backend=backend, precision=precision)
    manifest = load_manifest(args.manifest, tagger.labels).split(args.split)
    sounds: list[Sound] = [ClipSound(clip) for clip in manifest.clips[: args.limit]]
    classes = {mid: index for index, mid in enumerate(tagger.labels.ids)}
    scores = np.zeros((len(sounds), len(classes)))
    for row, outcome in enumerate(tagger.tag_many(sounds, top_k=None)):
        if not isinstance(outcome, TagResult):
            raise SystemExit(f"{outcome.message}; the demo corpus has no broken clip; make it again")
        for tag in outcome.tags:
            scores[row, classes[tag.id]] = tag.score
    return scores


def compare(full: np.ndarray, half: np.ndarray, threshold: float) -> dict[str, Any]:
    """The differences between two sets of (N, C) probabilities.

    >>> found = compare(np.array([[0.9, 0.501], [0.2, 0.7]]), np.array([[0.9, 0.499], [0.2, 0.7]]), 0.5)
    >>> found["same_tags"], found["tags_that_came_or_went"], round(found["farthest_of_them_from_threshold"], 3)
    (0.5, 1, 0.001)
    """
    shown, seen = full >= threshold, half >= threshold
    changed = shown != seen
    first, other = full.argmax(axis=1), half.argmax(axis=1)
    rows = np.arange(len(full))
    margins = (full[rows, first] - full[rows, other])[first != other]
    return {
        "num_clips": len(full),
        "same_first_tag": float(np.mean(first == other)),
        "largest_lead_of_a_first_tag_that_lost": float(margins.max(initial=0)),
        "same_tags": float(np.mean(~changed.any(axis=1))),
        "num_tags": int(shown.sum()),
        "tags_that_came_or_went": int(changed.sum()),
        "farthest_of_them_from_threshold": float(np.abs(full - threshold)[changed].max(initial=0)),
        "score_difference": {
            "median": float(np.median(np.abs(full - half))),
            "max": float(np.abs(full - half).max()),
        },
    }


if __name__ == "__main__":
    main()
