"""Tables and bars of results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from audio_dcls_cli.progress import out, say

if TYPE_CHECKING:
    from audio_dcls.inference import TagResult
    from audio_dcls.training.measure import StudyScores

BAR_CELLS = 20
HEADERS = {"mAP": "mAP", "AUC": "AUC", "d_prime_of_mean_AUC": "d' of mean AUC", "mean_d_prime": "mean d'"}
MAX_CLASSES_NAMED = 8


def score_table(scores: StudyScores) -> None:
    """Print a study's scores: a row a seed, and mean ± std."""
    from audio_dcls.training.measure import SCORE_FIELDS

    table = Table(title=str(scores.study), title_style="bold", title_justify="left", box=None, pad_edge=False)
    table.add_column("seed")
    for header in HEADERS.values():
        table.add_column(header, justify="right")
    for run in scores.runs:
        table.add_row(str(run.seed), *(f"{getattr(run.metrics, field):.4f}" for field in SCORE_FIELDS.values()))
    summary = scores.summary()
    table.add_row(
        "mean ± std" if len(scores.runs) > 1 else "mean", *(summary[k].format(digits=4) for k in HEADERS), style="bold"
    )
    out.print(table)
    say(
        f"clips {scores.num_evaluated} of {scores.num_listed} (coverage {scores.coverage:.1%}), "
        f"classes {len(scores.labels) - len(scores.left_out)} of {len(scores.labels)}, clip ids {scores.id_hash}"
    )
    if scores.left_out:
        named = ", ".join(scores.left_out[:MAX_CLASSES_NAMED])
        more = (
            f" and {len(scores.left_out) - MAX_CLASSES_NAMED} more" if len(scores.left_out) > MAX_CLASSES_NAMED else ""
        )
        out.print(f"left out (no positive, or no negative, clip): {named}{more}", markup=False, soft_wrap=True)
    for run in scores.runs:
        say(f"per class, seed {run.seed}: {run.per_class_path}")


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
