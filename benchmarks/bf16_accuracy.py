"""Claim: a trained tagger gives the same tags in bfloat16: top tags and mAP change by no more than noise.

For each seed of a trained study, it scores the evaluation split with the model prepared for inference, in float32 and
in bfloat16 (whole backbone; the frontend stays in float32). It reports the mAP of both, their difference with a
bootstrap interval over clips, how many of the top five tags agree, and how much scores change, in one JSON object:

    audio-dcls train && python benchmarks/bf16_accuracy.py > benchmarks/results/bf16_accuracy.json
"""

from __future__ import annotations

import json
import platform
import sys
from typing import Any

import numpy as np
import torch

from audio_dcls.data.loading.loader import eval_loader
from audio_dcls.data.loading.samples import ClipDataset
from audio_dcls.evaluation.metrics import tagging_metrics
from audio_dcls.evaluation.predict import Predictions, predict
from audio_dcls.models import prepare_for_inference
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint
from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.runs.find_run import find_runs, latest_study
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import load_manifests, prepare_clips
from bench_tools.results import argument_parser

TOP = 5
NUM_RESAMPLES = 2000
BATCH = 8


def predict_run(run: RunDir, study: StudyDir) -> dict[str, Predictions]:
    """Scores of the study's evaluation clips in both precisions."""
    config = study.config()
    clips = prepare_clips(config.data, load_manifests(config.data), study.report_path).eval
    predictions = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        loaded = load_checkpoint(run.newest_checkpoint() / MODEL_FILE)
        tagger = prepare_for_inference(loaded.model)
        tagger.backbone.to(dtype)
        frontend = loaded.frontend
        dataset = ClipDataset(
            clips,
            num_classes=len(loaded.labels),
            sample_rate_hz=frontend.sample_rate_hz,
            clip_samples=frontend.clip_samples,
        )
        predictions[name] = predict(tagger, eval_loader(dataset, BATCH, num_workers=0), "cpu")
    return predictions


def mean_ap(predictions: Predictions, rows: np.ndarray) -> float:
    """The mAP on some of the clips."""
    return tagging_metrics(predictions.targets[rows], predictions.scores[rows]).mean_average_precision


def compare(predictions: dict[str, Predictions], num_resamples: int) -> dict[str, Any]:
    """The differences between bfloat16 and float32."""
    full, half = predictions["fp32"], predictions["bf16"]
    num_clips = len(full.indices)
    every = np.arange(num_clips)
    rng = np.random.default_rng(0)
    resamples = [rng.integers(0, num_clips, num_clips) for _ in range(num_resamples)]
    differences = [mean_ap(half, rows) - mean_ap(full, rows) for rows in resamples]
    top = [np.argsort(-one.scores, axis=1)[:, :TOP] for one in (full, half)]
    shared = [len(set(a) & set(b)) for a, b in zip(*top, strict=True)]
    return {
        "num_clips": num_clips,
        "mAP": {"fp32": mean_ap(full, every), "bf16": mean_ap(half, every)},
        "mAP_difference_95": [float(np.quantile(differences, edge)) for edge in (0.025, 0.975)],
        "top_1_equal": float(np.mean(top[0][:, 0] == top[1][:, 0])),
        "top_5_same_set": float(np.mean([count == TOP for count in shared])),
        "top_5_mean_shared": float(np.mean(shared)),
        "score_difference": {
            "median": float(np.median(np.abs(full.scores - half.scores))),
            "max": float(np.max(np.abs(full.scores - half.scores))),
        },
    }


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("study", nargs="?", help="trained study folder; the newest under runs/ if left out")
    parser.add_argument("--resamples", type=int, default=NUM_RESAMPLES, help="bootstrap resamples of the clips")
    args = parser.parse_args()
    study, runs = find_runs(args.study) if args.study else (latest_study(), latest_study().runs())
    rows = {f"seed {run.seed}": compare(predict_run(run, study), args.resamples) for run in runs}
    scores = [row["mAP"]["fp32"] for row in rows.values()]
    report = {
        "benchmark": "bf16_accuracy",
        "model": study.config().model.model_dump(mode="json"),
        "machine": {"cpu": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "mAP_std_over_seeds": float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
        "runs": rows,
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
