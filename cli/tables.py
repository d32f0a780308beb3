"""Tables and bars of results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from audio_dcls_cli.screen.progress import out, say

if TYPE_CHECKING:
    from audio_dcls.evaluation import SeedSummary
    from audio_dcls.inference import TagResult
    from audio_dcls.runs.config import TrainConfig
    from audio_dcls.runs.scores import StudyScores
    from audio_dcls.training.dry_run import RunPlan

BAR_CELLS = 20
HEADERS = {
    "mAP": "mAP",
    "AUC": "AUC",
    "d_prime_of_mean_AUC": "d' of mean AUC",
    "mean_d_prime": "mean d'",
    "accuracy": "accuracy",
}
MAX_CLASSES_NAMED = 8


def score_table(scores: StudyScores) -> None:
    """Print a study's scores: a row a seed, and mean ± std."""
    summary = scores.summary()
    table = Table(title=str(scores.study), title_style="bold", title_justify="left", box=None, pad_edge=False)
    table.add_column("seed")
    for name in summary:
        table.add_column(HEADERS[name], justify="right")
    for run in scores.runs:
        table.add_row(str(run.seed), *(f"{score:.4f}" for score in run.metrics.scores().values()))
    table.add_row(
        "mean ± std" if len(scores.runs) > 1 else "mean", *(s.format(digits=4) for s in summary.values()), style="bold"
    )
    out.print(table)
    say(
        f"clips {scores.num_evaluated} of {scores.num_listed} (coverage {scores.coverage:.1%}), "
        f"classes {len(scores.labels) - len(scores.left_out)} of {len(scores.labels)}, clip ids {scores.id_hash}"
    )
    for note in scores.notes:
        out.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
    if scores.left_out:
        named = ", ".join(scores.left_out[:MAX_CLASSES_NAMED])
        more = (
            f" and {len(scores.left_out) - MAX_CLASSES_NAMED} more" if len(scores.left_out) > MAX_CLASSES_NAMED else ""
        )
        out.print(f"left out (no positive, or no negative, clip): {named}{more}", markup=False, soft_wrap=True)
    for run in scores.runs:
        say(f"per class, seed {run.seed}: {run.per_class_path}")


def fold_table(folds: dict[str, SeedSummary], num_folds: int) -> None:
    """Print the mean over folds of each score."""
    table = Table(title=f"Mean ± std over {num_folds} folds", title_style="bold", box=None, pad_edge=False)
    table.title_justify = "left"
    for name in folds:
        table.add_column(HEADERS[name], justify="right", no_wrap=True)
    table.add_row(*(summary.format(digits=4) for summary in folds.values()), style="bold")
    out.print(table)


def plan_table(plan: RunPlan, config: TrainConfig) -> None:
    """Print what a config would train."""
    loop, optimizer = config.loop, config.optimizer
    table = Table(title=f"Plan of {config.name}: nothing is trained", title_style="bold", box=None, show_header=False)
    table.title_justify = "left"
    swap = "" if config.model.dcls is None else ", DCLS {}x{}".format(*config.model.dcls.kernel_size)
    rows = {
        "clips": f"{plan.num_train_clips:,} to train on, {plan.num_eval_clips:,} to measure on, "
        f"{plan.num_classes} classes",
        "model": f"{config.model.name}{swap}, {plan.num_parameters / 1e6:.2f} M parameters, {loop.precision}",
        "batch": str(plan.layout),
        "length": f"{plan.num_epochs} epochs x {plan.steps_per_epoch:,} steps = {plan.num_steps:,} steps a seed, "
        f"{len(config.seeds)} seed{'s' if len(config.seeds) > 1 else ''}",
        "rate": f"{optimizer.name}, 0 to {optimizer.peak_rate:g} in {plan.warmup_epochs:g} epochs, "
        f"then a cosine to {optimizer.final_rate:g}",
        "index": f"{plan.index_mib:,.0f} MiB of memory, read in {plan.index_s:.1f} s",
        "first batch": f"{plan.num_first_clips} clips after {plan.first_batch_s:.1f} s from the start, "
        f"{plan.num_first_read} of them with a sound file that can be read",
    }
    for name, text in rows.items():
        table.add_row(name, text)
    out.print(table)
    if plan.num_first_read < plan.num_first_clips:
        say("[yellow]Sound files are missing: training would begin by leaving such clips out.[/]")


def tag_table(result: TagResult, true_labels: tuple[str, ...] | None = None) -> None:
    """Print a sound's tags, best first, with bars; a tag among the true labels, where they are known, has a ✓."""
    out.print(Text(result.path, style="bold"), Text(f"{result.duration_s:.1f} s", style="dim"))
    if true_labels is not None:
        out.print(f"  labelled: {', '.join(true_labels)}", markup=False, soft_wrap=True)
    if not result.tags:
        say("  no tag reaches the threshold")
    for tag in result.tags:
        filled = round(tag.score * BAR_CELLS)
        bar = (("█" * filled, "green"), ("░" * (BAR_CELLS - filled), "dim"))
        mark = " ✓" if true_labels and tag.name in true_labels else ""
        out.print(Text.assemble(f"  {tag.score:5.3f} ", *bar, f" {tag.name}", (mark, "bold green")))
