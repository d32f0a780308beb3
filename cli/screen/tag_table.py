"""Tags of a sound, with bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from audio_dcls_cli.screen.progress import out, say

if TYPE_CHECKING:
    from audio_dcls.inference import TagResult

_BAR_CELLS = 20


def tag_table(result: TagResult, true_labels: tuple[str, ...] | None = None) -> None:
    """Print a sound's tags, best first, with bars; a tag among the true labels, where they are known, has a ✓."""
    out.print(Text(result.path, style="bold"), Text(f"{result.duration_s:.1f} s", style="dim"))
    if true_labels is not None:
        out.print(f"  labelled: {', '.join(true_labels)}", markup=False, soft_wrap=True)
    if not result.tags:
        say("  no tag reaches the threshold")
    for tag in result.tags:
        filled = round(tag.score * _BAR_CELLS)
        bar = (("█" * filled, "green"), ("░" * (_BAR_CELLS - filled), "dim"))
        mark = " ✓" if true_labels and tag.name in true_labels else ""
        out.print(Text.assemble(f"  {tag.score:5.3f} ", *bar, f" {tag.name}", (mark, "bold green")))
