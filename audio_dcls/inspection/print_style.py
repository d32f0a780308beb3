"""A style of figures that print well and that colour-blind people can read."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666", "#000000")
"""The palette of Okabe and Ito (2008), which colour-blind people can distinguish."""
SEQUENTIAL = "cividis"
"""Colour map for amounts (Nuñez et al., 2018): it looks the same to colour-blind people, and works in grey."""
DIVERGING = "PuOr_r"
"""Colour map for signed values, white at zero."""
_PAGE_INCHES = 7.2
"""Width of a page of a paper."""


def new_figure(rows: int = 1, *, width: float = _PAGE_INCHES, row_inches: float = 2.1) -> Figure:
    """An empty figure, by default of a page's width, with `rows` rows of panels of a height in inches."""
    return Figure(figsize=(width, row_inches * rows + 0.5), layout="constrained", dpi=200)


def head(figure: Figure, title: str, facts: str) -> None:
    """Write a title, and below it the facts: model, seed, data and number of clips."""
    figure.suptitle(f"{title}\n", fontsize=10, x=0.01, ha="left", weight="bold")
    figure.text(0.01, 0.995 - 0.24 / figure.get_figheight(), facts, fontsize=7, color="#555555", va="top")


def tidy(axes: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Set labels, and make the frames thin."""
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.set_title(title, fontsize=8, loc="left")
    axes.tick_params(labelsize=7, width=0.6, length=2.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.6)


def frameless(axes: Axes, ink: str, rule: str | None, size: float) -> None:
    """Remove the frame and the ticks' lines; draw a grid in the colour `rule`, if there is one, below the data."""
    axes.tick_params(colors=ink, labelsize=size, length=0)
    axes.spines[:].set_visible(False)
    if rule is not None:
        axes.grid(color=rule, linewidth=0.7)
        axes.set_axisbelow(True)


def legend(axes: Axes, **where: Any) -> None:
    """Draw a legend without a frame."""
    axes.legend(fontsize=7, frameon=False, handlelength=1.4, **where)


def colour_bar(figure: Figure, image: Any, axes: Any, label: str, size: float = 6, **where: Any) -> None:
    """Draw the scale of an image next to its axes; `size` is the label's in points."""
    bar = figure.colorbar(image, ax=axes, **where)
    bar.ax.tick_params(labelsize=6)
    bar.set_label(label, fontsize=size)


def panel_grid(count: int, columns: int, row_inches: float = 2.1) -> tuple[Figure, np.ndarray]:
    """A figure and its panels, at least `count` of them, in rows of `columns`; those beyond `count` stay empty."""
    rows = -(-count // columns)
    figure = new_figure(rows, row_inches=row_inches)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[count:]:
        panel.set_axis_off()
    return figure, panels


def shortened(name: str, most: int) -> str:
    """A name of at most `most` characters.

    >>> shortened("Tuning fork", 7)
    'Tuning…'
    """
    return name if len(name) <= most else f"{name[: most - 1]}…"
