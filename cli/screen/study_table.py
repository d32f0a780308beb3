"""A study's table on the screen."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from audio_dcls.evaluation.study_table import StudyTable
from audio_dcls.evaluation.table_text import cells, headers, seed_cells, seed_headers
from audio_dcls_cli.screen.progress import out, say

_MAX_MISSING_SHOWN = 6
_FILE_COLUMNS = 160
"""Width of the table in a file or a pipe, which wrap nothing."""


def show_table(table: StudyTable) -> None:
    """Print the table, each seed, what is missing with the command that trains it, and the notes."""
    out.print()
    _print(table.name, headers(table), cells(table))
    if len(table.seeds) > 1:
        _print("mAP (%) by seed", seed_headers(table), seed_cells(table))
    for run in table.missing[:_MAX_MISSING_SHOWN]:
        out.print(f"missing: {run.case}, seed {run.seed} ({run.state}): {run.command}", markup=False, soft_wrap=True)
    if len(table.missing) > _MAX_MISSING_SHOWN:
        say(f"  … and {len(table.missing) - _MAX_MISSING_SHOWN} more missing")
    for note in table.notes:
        out.print(f"  {note}", style="dim", markup=False, soft_wrap=True)


def _print(title: str, names: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    shown = Table(title=title, title_style="bold", title_justify="left", box=None, pad_edge=False, min_width=len(title))
    for name in names:
        shown.add_column(name, justify="left" if name == names[0] else "right")
    for row in rows:
        shown.add_row(*row)
    screen = out if out.is_terminal else Console(highlight=False, width=_FILE_COLUMNS, quiet=out.quiet)
    screen.print(shown)
    screen.print()
