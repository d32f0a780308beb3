"""Claim: a trained 7x7 model keeps its mAP when it becomes DCLS with fitted kernels, and stays ahead of random kernels.

For each seed the 7x7 model of the demo is trained, and then continued from its checkpoint in three ways: unchanged
("plain"), with DCLS kernels drawn at random ("random", as the authors do with ImageNet weights), and with DCLS kernels
fitted to the trained ones ("fit"). All three see the same batches. It reports the mAP right after the swap and after
each further epoch, in one JSON object; runs that are finished in the work folder are not trained again:

    python benchmarks/weight_transfer.py > benchmarks/results/weight_transfer.json
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

import timm
import torch

from audio_dcls.evaluation import summarise
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.runs.training_clips import TrainingClips, load_manifests, prepare_clips
from audio_dcls.settings import build, load_yaml, merge, parse_overrides
from audio_dcls.training.distributed.processes import build_fabric
from audio_dcls.training.loop import Trainer
from audio_dcls.training.train_events import Evaluated, RunFinished, StepDone
from bench_tools.results import argument_parser, report_progress

ARMS: dict[str, dict[str, Any] | None] = {"plain": None, "random": {"transfer": "random"}, "fit": {"transfer": "fit"}}


def make_trainer(values: dict[str, Any], folder: Path, seed: int) -> Trainer:
    """The trainer of one seed, in its own study folder."""
    config = build(TrainConfig, merge(values, {"seeds": [seed]}), "weight_transfer")
    study = StudyDir(folder)
    if not (folder / "config.yaml").exists():
        study.create(config)
    fabric = build_fabric(config.loop)
    fabric.launch()
    return Trainer(config, seed, find_clips(config, folder), study.run(seed), fabric)


def find_clips(config: TrainConfig, folder: Path) -> TrainingClips:
    """The usable clips; the demo corpus is synthesised if it does not exist."""
    manifest = load_manifests(config.data)
    return prepare_clips(config.data, manifest, folder / "clip_report.csv")


def train_twin(values: dict[str, Any], folder: Path, seed: int) -> tuple[float, Path]:
    """Train the 7x7 model unless it is trained already; return its mAP and its newest checkpoint."""
    trainer = make_trainer(values, folder, seed)
    score = math.nan
    for event in trainer.run():
        if isinstance(event, RunFinished):
            score = event.metrics.mean_average_precision
    report_progress(f"twin, seed {seed}: mAP {score:.4f}")
    return score, trainer.run_dir.newest_checkpoint()


def continue_training(values: dict[str, Any], folder: Path, seed: int, arm: str) -> dict[str, Any]:
    """Continue from the 7x7 model: mAP before the first step and after each epoch, and errors of fitted kernels."""
    saved = folder / "scores.json"
    if saved.is_file():
        return json.loads(saved.read_text(encoding="utf-8"))
    trainer = make_trainer(values, folder, seed)
    if trainer.first_step:
        raise SystemExit(f"'{folder}' is only half trained; remove it and start again")
    scores, losses = [trainer.evaluate(trainer.eval_set).mean_average_precision], []
    report_progress(f"{arm}, seed {seed}, after the swap: mAP {scores[0]:.4f}")
    for event in trainer.run():
        if isinstance(event, StepDone):
            losses.append(event.loss)
        elif isinstance(event, Evaluated):
            scores.append(event.metrics.mean_average_precision)
            report_progress(f"{arm}, seed {seed}, epoch {event.epoch:g}: mAP {scores[-1]:.4f}")
    swap = trainer.raw_model.swap_report
    errors = {} if swap is None else {kept.name: kept.relative_error for kept in swap.transfers}
    num_steps = trainer.steps_per_epoch
    means = [statistics.fmean(losses[first : first + num_steps]) for first in range(0, len(losses), num_steps)]
    row = {"arm": arm, "seed": seed, "mAP": scores, "epoch_losses": means, "relative_errors": errors}
    saved.write_text(json.dumps(row), encoding="utf-8")
    return row


def run_experiment(args: argparse.Namespace) -> dict[str, Any]:
    """Run every arm with every seed."""
    overrides = parse_overrides(args.set)
    base = merge(load_yaml(Path(args.config)), {"loop": {"checkpoint_every_epochs": 10**6, "keep_checkpoints": 1}})
    base = merge(base, overrides)
    twin_values = merge(base, {"name": "twin", "loop": {"epochs": args.epochs}})
    twins, rows = {}, []
    for seed in args.seeds:
        twins[seed], checkpoint = train_twin(twin_values, Path(args.work) / "twin" / f"seed{seed}", seed)
        for arm in args.arms:
            dcls = ARMS[arm] if ARMS[arm] is None else merge(parse_overrides(args.dcls), ARMS[arm] or {})
            changes = {
                "name": arm,
                "model": {"pretrained": True, "pretrained_file": str(checkpoint), "dcls": dcls},
                "optimizer": {"peak_rate": args.rate, "warmup_epochs": args.warmup_epochs},
                "loop": {"epochs": args.further_epochs, "evaluate_every_epochs": 1},
            }
            rows.append(continue_training(merge(base, changes), Path(args.work) / arm / f"seed{seed}", seed, arm))
    return {"twin_mAP": twins, "rows": rows, "table": tabulate(rows, args.arms)}


def tabulate(rows: list[dict[str, Any]], arms: list[str]) -> dict[str, list[dict[str, float | None]]]:
    """Mean and standard deviation of mAP over seeds per arm, right after the swap and after each epoch."""
    table = {}
    for arm in arms:
        columns = zip(*(row["mAP"] for row in rows if row["arm"] == arm), strict=True)
        summaries = [summarise(column) for column in columns]
        table[arm] = [{"mean": s.mean, "std": None if math.isnan(s.std) else s.std} for s in summaries]
        report_progress(f"{arm:>8}  " + "  ".join(s.format(digits=4) for s in summaries))
    return table


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--config", default="configs/demo_7x7.yaml", help="config of the 7x7 model")
    parser.add_argument(
        "--work", default="runs/weight_transfer", help="folder of the runs: new, or from an earlier run of this script"
    )
    parser.add_argument("--epochs", type=int, default=8, help="epochs of the 7x7 model")
    parser.add_argument("--further-epochs", type=int, default=4, help="epochs after the swap")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate after the swap")
    parser.add_argument("--warmup-epochs", type=float, default=0.5, help="epochs of warm-up after the swap")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--dcls", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the swap")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes to the config")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    report = {
        "benchmark": "weight_transfer",
        "arguments": {name: value for name, value in vars(args).items() if name != "work"},
        "machine": {"processor": platform.machine(), "instructions": torch.backends.cpu.get_cpu_capability()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "timm": timm.__version__},
        **run_experiment(args),
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
