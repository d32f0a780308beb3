"""Figures that print well and that the colour-blind can read."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666", "#000000")
"""Okabe and Ito (2008), told apart by the colour-blind."""
SEQUENTIAL = "cividis"
"""For amounts (Nuñez et al., 2018): reads the same to all, and in grey."""
DIVERGING = "PuOr_r"
"""For signed values, white at zero."""
_COLUMN_INCHES = 3.5
"""Width of a column of a paper."""
_PAGE_INCHES = 7.2


def new_figure(rows: int = 1, *, width: float = _PAGE_INCHES, row_inches: float = 2.1) -> Figure:
    """An empty figure of a page's or column's width.

    Args:
        rows: of panels.
        width: in inches.
        row_inches: height of a row.
    """
    return Figure(figsize=(width, row_inches * rows + 0.5), layout="constrained", dpi=200)


def head(figure: Figure, title: str, facts: str) -> None:
    """A title, and beneath it what model, seed, data and n it is of."""
    figure.suptitle(f"{title}\n", fontsize=10, x=0.01, ha="left", weight="bold")
    figure.text(0.01, 0.995 - 0.24 / figure.get_figheight(), facts, fontsize=7, color="#555555", va="top")


def tidy(axes: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Labels and thin frames."""
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.set_title(title, fontsize=8, loc="left")
    axes.tick_params(labelsize=7, width=0.6, length=2.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.6)


def legend(axes: Axes, names: Sequence[str] | None = None, **where: object) -> None:
    """A legend without a frame."""
    options = {"fontsize": 7, "frameon": False, "handlelength": 1.4, **where}
    axes.legend(**({} if names is None else {"labels": list(names)}), **options)  # type: ignore[arg-type]
