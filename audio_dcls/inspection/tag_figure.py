"""A tagged sound as a figure: waveform, spectrogram, the scores of its top tags over time, and its events.

Axis legend: W windows, C classes, M mels, P columns.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from audio_dcls.errors import ArgumentError
from audio_dcls.inference.events import window_edges_s
from audio_dcls.inference.results import TagResult
from audio_dcls.inspection.print_style import COLOURS, frameless, shortened
from audio_dcls.inspection.sound_picture import DYNAMIC_RANGE_DB, LOW_HZ, SoundPicture
from audio_dcls.labels import LabelSet

CURVE_COLOURS = COLOURS[:6]
_OTHER_COLOUR, _WAVE_COLOUR, _INK, _RULE = "#8a929b", "#4b5a68", "#20303f", "#d9dee3"
_WIDTH_INCHES = 11.0
_MAX_EVENT_ROWS, _NAME_LENGTH = 10, 30
_TICKS_HZ = (100, 500, 1000, 2000, 5000, 10_000, 20_000)
_MINUTES_FROM_S = 120.0
_SMALL, _TINY = 9.0, 8.0


def draw_tags(
    result: TagResult, labels: LabelSet, picture: SoundPicture, *, num_curves: int = 6, threshold: float | None = None
) -> Figure:
    """Draw waveform, mel spectrogram and score curves above each other, on one axis of time.

    Each step of a curve covers the time that its window represents (`window_edges_s`), so that curves change where
    events do. If the result has events, each of their classes has a row of bars below, in the colours of the curves.
    At most `num_curves` tags are drawn, 1 to 6, and the threshold, 0 to 1, as a line.
    """
    if not 1 <= num_curves <= len(CURVE_COLOURS):
        raise ArgumentError(f"`num_curves` (={num_curves}) must be 1 to {len(CURVE_COLOURS)}, the number of colours")
    drawn = _drawn_classes(result, labels, num_curves)
    colour_of = {labels.ids[c]: colour for c, colour in zip(drawn, CURVE_COLOURS, strict=False)}
    rows = _event_rows(result, list(colour_of))
    heights = [0.8, 2.0, 2.0, *([0.26 * len(rows) + 0.15] if rows else [])]
    figure = Figure(figsize=(_WIDTH_INCHES, sum(heights) + 1.15), layout="constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    for axes in panels:
        frameless(axes, _INK, _RULE, _TINY)
    _draw_waveform(panels[0], picture)
    _draw_spectrogram(figure, panels[1], picture)
    _draw_curves(panels[2], result, labels, drawn, threshold, picture.duration_s)
    if rows:
        _draw_events(panels[3], result, rows, colour_of)
    _draw_clock(panels[-1], picture.duration_s)
    name = result.path.encode(errors="backslashreplace").decode()
    title = name if len(name) <= 100 else f"…{name[-99:]}"
    figure.suptitle(title, parse_math=False, fontsize=11, x=0.01, ha="left", weight="bold", color=_INK)
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure in the format of its name's ending: .png, .svg, .pdf and others that matplotlib writes."""
    check_figure_path(path)
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, dpi=150)
    except OSError as error:
        raise ArgumentError(f"'{path}' cannot be written: {error.strerror}; choose another place") from error


def check_figure_path(path: str | Path) -> None:
    """Refuse the name of a file whose format matplotlib does not write, by an `ArgumentError`."""
    known = FigureCanvasBase.get_supported_filetypes()
    if Path(path).suffix.lower().removeprefix(".") not in known:
        raise ArgumentError(f"'{path}' must end in one of {', '.join(f'.{kind}' for kind in known)}; .png is usual")


def _drawn_classes(result: TagResult, labels: LabelSet, num_curves: int) -> list[int]:
    """Classes with events, then the result's tags; without either, the classes with the highest scores of a window."""
    with_events = [mid for mid, _ in _event_rows(result, [])]
    if result.tags or with_events:
        tags = [tag.id for tag in result.tags]
        chosen = list(dict.fromkeys([*with_events, *tags]))[:num_curves]
        ordered = sorted(chosen, key=lambda mid: tags.index(mid) if mid in tags else len(tags))
        return [labels.index(mid) for mid in ordered]
    return [int(c) for c in np.argsort(-result.windows.scores.max(axis=0), kind="stable")[:num_curves]]


def _event_rows(result: TagResult, curve_ids: list[str]) -> list[tuple[str, str]]:
    """Id and name of the classes with events: first those with a curve, then the others by their highest score."""
    best: dict[str, float] = {}
    names: dict[str, str] = {}
    for event in result.events or ():
        best[event.id] = max(event.score, best.get(event.id, 0.0))
        names[event.id] = event.name
    own = [mid for mid in curve_ids if mid in best]
    others = sorted(best.keys() - set(own), key=lambda mid: (-best[mid], mid))
    return [(mid, names[mid]) for mid in [*own, *others][:_MAX_EVENT_ROWS]]


def _draw_waveform(axes: Axes, picture: SoundPicture) -> None:
    envelope = picture.envelope()
    times_s = np.linspace(0.0, picture.duration_s, len(envelope) + 1)[:-1]
    axes.fill_between(times_s, envelope[:, 0], envelope[:, 1], color=_WAVE_COLOUR, linewidth=0.3)
    peak = max(float(np.abs(envelope).max(initial=0.0)), 1e-6)
    axes.set_ylim(-1.08 * peak, 1.08 * peak)
    axes.set_yticks([-peak, 0, peak], [f"{-peak:.2g}", "0", f"{peak:.2g}"])
    axes.set_ylabel("sample", fontsize=_TINY, color=_INK)


def _draw_spectrogram(figure: Figure, axes: Axes, picture: SoundPicture) -> None:
    decibels = picture.spectrogram_db()
    edges_s = np.linspace(0.0, picture.duration_s, decibels.shape[1] + 1)
    mels = np.linspace(_mel(LOW_HZ), _mel(picture.high_hz), len(decibels) + 1)
    mesh = axes.pcolormesh(edges_s, mels, decibels, cmap="magma", vmin=-DYNAMIC_RANGE_DB, vmax=0, rasterized=True)
    ticks = [hz for hz in _TICKS_HZ if LOW_HZ <= hz <= picture.high_hz]
    axes.set_yticks([_mel(hz) for hz in ticks], [f"{hz / 1000:g}k" if hz >= 1000 else str(hz) for hz in ticks])
    axes.set_ylabel("Hz", fontsize=_TINY, color=_INK)
    axes.grid(visible=False)
    bar = figure.colorbar(mesh, cax=axes.inset_axes((1.01, 0.0, 0.012, 1.0)))
    bar.set_label("dB below the loudest", fontsize=_TINY, color=_INK)
    bar.ax.tick_params(labelsize=_TINY, colors=_INK, length=0)
    bar.outline.set_visible(False)  # type: ignore[operator]


def _draw_curves(
    axes: Axes, result: TagResult, labels: LabelSet, drawn: list[int], threshold: float | None, duration_s: float
) -> None:
    windows = result.windows
    edges_s = np.minimum(window_edges_s(windows.start_s, windows.end_s), duration_s)
    clip_score = {tag.id: tag.score for tag in result.tags}
    for c, colour in reversed(list(zip(drawn, CURVE_COLOURS, strict=False))):
        score = clip_score.get(labels.ids[c], float(windows.scores[:, c].max()))
        axes.stairs(windows.scores[:, c], edges_s, baseline=None, color=colour, linewidth=1.8,
                    label=f"{score:.2f}  {shortened(labels.names[c], _NAME_LENGTH)}")  # fmt: skip
    if threshold is not None:
        axes.axhline(threshold, color=_INK, linewidth=0.9, linestyle=(0, (4, 3)), label=f"{threshold:.2f}  threshold")
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel("probability", fontsize=_TINY, color=_INK)
    handles, texts = axes.get_legend_handles_labels()
    order = [*reversed(range(len(drawn))), *range(len(drawn), len(handles))]
    axes.legend([handles[i] for i in order], [texts[i] for i in order], loc="upper left", bbox_to_anchor=(1.005, 1.03),
                fontsize=_SMALL, frameon=False, labelcolor=_INK, handlelength=1.2, borderaxespad=0.0,
                title="score of the sound", title_fontsize=_TINY, alignment="left")  # fmt: skip


def _draw_events(axes: Axes, result: TagResult, rows: list[tuple[str, str]], colour_of: dict[str, str]) -> None:
    for row, (mid, _) in enumerate(rows):
        bars = [(event.onset_s, event.duration_s) for event in result.events or () if event.id == mid]
        axes.broken_barh(bars, (row - 0.36, 0.72), color=colour_of.get(mid, _OTHER_COLOUR), linewidth=0)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.yaxis.tick_right()
    axes.set_yticks(range(len(rows)), [shortened(name, _NAME_LENGTH) for _, name in rows], fontsize=_SMALL)
    axes.set_ylabel("events", fontsize=_TINY, color=_INK)
    axes.grid(visible=False, axis="y")


def _draw_clock(axes: Axes, duration_s: float) -> None:
    axes.set_xlim(0, duration_s)
    unit, steps = "s", None
    if duration_s >= _MINUTES_FROM_S:
        unit, steps = "min:s" if duration_s < 3600 else "h:min:s", [1, 2, 3, 6, 10]
        axes.xaxis.set_major_formatter(FuncFormatter(lambda time_s, _: clock(time_s)))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, steps=steps))
    axes.set_xlabel(f"time in {unit}", fontsize=_SMALL, color=_INK)


def clock(time_s: float) -> str:
    """A time as a clock shows it.

    >>> clock(75.0), clock(3661.0)
    ('1:15', '1:01:01')
    """
    minutes, seconds = divmod(round(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _mel(frequency_hz: float) -> float:
    return 2595.0 * float(np.log10(1.0 + frequency_hz / 700.0))
