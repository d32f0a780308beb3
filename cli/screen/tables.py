"""Tables of scores, and of what a config would train."""

from __future__ import annotations

from rich.table import Table

from audio_dcls.evaluation import SeedSummary
from audio_dcls.evaluation.metrics import METRICS
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.scores import StudyScores
from audio_dcls.training.dry_run import RunPlan
from audio_dcls_cli.screen.progress import out, say

_MAX_CLASSES_NAMED = 8


def score_table(scores: StudyScores) -> None:
    """Print a study's scores: a row per seed, and mean ± std."""
    summary = scores.summary()
    table = Table(title=str(scores.study), title_style="bold", title_justify="left", box=None, pad_edge=False)
    table.add_column("seed")
    for name in summary:
        table.add_column(METRICS[name].title, justify="right")
    for run in scores.runs:
        table.add_row(str(run.seed), *(METRICS[name].format(score) for name, score in run.metrics.scores.items()))
    table.add_row("mean ± std" if len(scores.runs) > 1 else "mean", *_formatted(summary), style="bold")
    out.print(table)
    say(
        f"clips {scores.num_evaluated} of {scores.num_listed} (coverage {scores.coverage:.1%}), "
        f"classes {len(scores.labels) - len(scores.left_out)} of {len(scores.labels)}, clip ids {scores.id_hash}"
    )
    for note in scores.notes:
        out.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
    if scores.left_out:
        named = ", ".join(scores.left_out[:_MAX_CLASSES_NAMED])
        num_more = len(scores.left_out) - _MAX_CLASSES_NAMED
        more = f" and {num_more} more" if num_more > 0 else ""
        out.print(f"left out (no positive, or no negative, clip): {named}{more}", markup=False, soft_wrap=True)
    for run in scores.runs:
        say(f"per class, seed {run.seed}: {run.per_class_path}")


def fold_table(folds: dict[str, SeedSummary], num_folds: int) -> None:
    """Print the mean over folds of each score."""
    table = Table(title=f"Mean ± std over {num_folds} folds", title_style="bold", box=None, pad_edge=False)
    table.title_justify = "left"
    for name in folds:
        table.add_column(METRICS[name].title, justify="right", no_wrap=True)
    table.add_row(*_formatted(folds), style="bold")
    out.print(table)


def _formatted(summaries: dict[str, SeedSummary]) -> list[str]:
    return [summary.format(digits=METRICS[name].digits) for name, summary in summaries.items()]


def plan_table(plan: RunPlan, config: TrainConfig) -> None:
    """Print what a config would train."""
    loop, optimizer = config.loop, config.optimizer
    table = Table(title=f"Plan of {config.name}: nothing is trained", title_style="bold", box=None, show_header=False)
    table.title_justify = "left"
    swap = "" if config.model.dcls is None else ", DCLS {}x{}".format(*config.model.dcls.kernel_size)
    rows = {
        "clips": f"{len(plan.run.dataset):,} to train on, {plan.num_eval_clips:,} to measure on, "
        f"{plan.num_classes} classes",
        "model": f"{config.model.name}{swap}, {plan.run.num_parameters / 1e6:.2f} M parameters, {loop.precision}",
        "batch": str(plan.run.layout),
        "length": f"{loop.epochs} epochs x {plan.run.steps_per_epoch:,} steps = {plan.run.num_steps:,} steps a seed, "
        f"{len(config.seeds)} seed{'s' if len(config.seeds) > 1 else ''}",
        "rate": f"{optimizer.name}, 0 to {optimizer.peak_rate:g} in {optimizer.warmup_epochs:g} epochs, "
        f"then a cosine to {optimizer.final_rate:g}",
        "index": f"{plan.index_mib:,.0f} MiB of memory, read in {plan.index_s:.1f} s",
        "first batch": f"{plan.num_first_clips} clips after {plan.first_batch_s:.1f} s from the start, "
        f"{plan.num_first_read} of them with a sound file that can be read",
    }
    for name, text in rows.items():
        table.add_row(name, text)
    out.print(table)
    if plan.num_first_read < plan.num_first_clips:
        say("[yellow]Sound files are missing: training would leave these clips out.[/]")
