"""A study's table on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from audio_dcls_cli.screen.progress import out, say

if TYPE_CHECKING:
    from audio_dcls.evaluation.study_table import StudyTable

MAX_MISSING_SHOWN = 6
FILE_COLUMNS = 160
"""Width of the table where it goes to a file or a program, which need no folding."""


def show_table(table: StudyTable) -> None:
    """Print the table, each seed, what is missing with the command that trains it, and the notes."""
    from audio_dcls.evaluation.table_text import cells, headers, seed_cells, seed_headers

    out.print()
    _print(table.name, headers(table), cells(table))
    if len(table.seeds) > 1:
        _print("mAP (%) by seed", seed_headers(table), seed_cells(table))
    for run in table.missing[:MAX_MISSING_SHOWN]:
        out.print(f"missing: {run.case}, seed {run.seed} ({run.state}): {run.command}", markup=False, soft_wrap=True)
    if len(table.missing) > MAX_MISSING_SHOWN:
        say(f"  … and {len(table.missing) - MAX_MISSING_SHOWN} more missing")
    for note in table.notes:
        out.print(f"  {note}", style="dim", markup=False, soft_wrap=True)


def _print(title: str, names: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    shown = Table(title=title, title_style="bold", title_justify="left", box=None, pad_edge=False, min_width=len(title))
    for name in names:
        shown.add_column(name, justify="left" if name == names[0] else "right")
    for row in rows:
        shown.add_row(*row)
    screen = out if out.is_terminal else Console(highlight=False, width=FILE_COLUMNS, quiet=out.quiet)
    screen.print(shown)
    screen.print()
