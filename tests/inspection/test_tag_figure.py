"""The figure of a tagged sound shows what the result says, where it says it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from audio_dcls.errors import ArgumentError
from audio_dcls.inference.events import find_events
from audio_dcls.inspection.sound_picture import SoundPicture
from audio_dcls.inspection.tag_figure import CURVE_COLOURS, clock, draw_tags, save_figure
from audio_dcls.labels import LabelSet

LABELS = LabelSet.audioset()
RATE_HZ = 8_000


def a_result(duration_s: float, hop_s: float, *, top: int = 3, on: float = 0.5) -> Any:
    """Scores of windows two hops long, with three classes that sound."""
    rng = np.random.default_rng(0)
    start_s = np.arange(0.0, duration_s - hop_s, hop_s)
    scores = 0.1 * rng.random((len(start_s), len(LABELS)))
    third = len(start_s) // 3
    scores[:third, LABELS.index("Dog")] = 0.9
    scores[third:, LABELS.index("Speech")] = 0.8
    scores[2 * third :, LABELS.index("Music")] = 0.6
    mean = scores.mean(axis=0)
    order = np.argsort(-mean)[:top]
    return SimpleNamespace(
        path="a sound.wav",
        windows=SimpleNamespace(start_s=start_s, end_s=start_s + 2 * hop_s, scores=scores),
        tags=tuple(SimpleNamespace(id=LABELS.ids[c], name=LABELS.names[c], score=mean[c]) for c in order),
        events=find_events(scores, start_s, start_s + 2 * hop_s, labels=LABELS, on=on),
    )


def a_picture(duration_s: float) -> SoundPicture:
    picture = SoundPicture(RATE_HZ)
    picture.add(np.random.default_rng(1).normal(0, 0.1, round(duration_s * RATE_HZ)))
    return picture


def test_curves_are_the_top_tags_and_bars_their_events(tmp_path: Path) -> None:
    result = a_result(12.0, 0.5)
    figure = draw_tags(result, LABELS, a_picture(12.0), threshold=0.5)
    save_figure(figure, tmp_path / "new" / "a.png")
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
    wave, spectrogram, curves, events = figure.axes[:4]
    texts = [text.get_text() for text in curves.get_legend().get_texts()]
    assert texts == [f"{tag.score:.2f}  {tag.name}" for tag in result.tags] + ["0.50  threshold"]
    assert [label.get_text() for label in events.get_yticklabels()] == [tag.name for tag in result.tags]
    colours = {tag.name: colour for tag, colour in zip(result.tags, CURVE_COLOURS, strict=False)}
    for bars, tag in zip(events.collections, result.tags, strict=True):
        spans = [(event.onset_s, event.offset_s) for event in result.events if event.id == tag.id]
        drawn = [(path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in bars.get_paths()]
        np.testing.assert_allclose(drawn, spans)
        assert to_hex(bars.get_facecolor()[0]) == colours[tag.name]
    for axes in (wave, spectrogram, curves, events):
        assert axes.get_xlim() == (0, 12.0)


def test_a_curve_steps_where_the_event_begins() -> None:
    result = a_result(12.0, 0.5)
    figure = draw_tags(result, LABELS, a_picture(12.0))
    (speech,) = [event for event in result.events if event.name == "Speech"]
    curve = next(patch for patch in figure.axes[2].patches if patch.get_label().endswith("Speech"))
    values, edges, _ = curve.get_data()
    assert edges[int(np.argmax(values >= 0.5))] == speech.onset_s


@pytest.mark.parametrize(("duration_s", "hop_s"), [(1.2, 0.6), (200.0, 5.0)])
def test_short_and_long_sounds_without_events_can_be_drawn(tmp_path: Path, duration_s: float, hop_s: float) -> None:
    result = a_result(duration_s, hop_s, top=6, on=np.inf)
    figure = draw_tags(result, LABELS, a_picture(duration_s), num_curves=6)
    save_figure(figure, tmp_path / "a.svg")
    assert len(figure.axes) == 3
    assert figure.axes[2].get_xlabel() == ("time in min:s" if duration_s > 120 else "time in s")


def test_a_sound_in_which_no_tag_reached_its_threshold_shows_the_highest_windows() -> None:
    result = a_result(12.0, 0.5)
    result.tags = ()
    texts = [text.get_text() for text in draw_tags(result, LABELS, a_picture(12.0)).axes[2].get_legend().get_texts()]
    assert {text[6:] for text in texts[:3]} == {"Dog", "Speech", "Music"}


def test_a_clock_is_read_as_one() -> None:
    assert [clock(second) for second in (0, 59.6, 600, 3599, 3600)] == ["0:00", "1:00", "10:00", "59:59", "1:00:00"]


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    result = a_result(12.0, 0.5)
    with pytest.raises(ArgumentError, match="`num_curves` \\(=7\\)"):
        draw_tags(result, LABELS, a_picture(12.0), num_curves=7)
    figure = draw_tags(result, LABELS, a_picture(12.0))
    with pytest.raises(ArgumentError, match=r"must end in one of .*\.png is usual"):
        save_figure(figure, tmp_path / "a.wav")
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="cannot be written"):
        save_figure(figure, tmp_path / "file" / "a.png")
