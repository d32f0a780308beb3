"""The chapters on scores: where the model is wrong, and how it differs from another, class by class."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import soundfile

from audio_dcls.errors import NothingToShowError
from audio_dcls.evaluation.confusion import worst_missed
from audio_dcls.inspection import error_analysis
from audio_dcls.inspection.comparison import difference_rows, draw_differences
from audio_dcls.inspection.measured_clips import MeasuredClips
from audio_dcls.inspection.report.item import Recording, ReportItem
from audio_dcls.inspection.report.subject import Subject

_NUM_WORST = 8


def errors(subject: Subject) -> Iterator[ReportItem]:
    """The errors of the model on the clips it was measured on."""
    measured = subject.measured
    if measured is None:
        raise NothingToShowError(subject.why_unmeasured)
    facts = subject.facts
    yield ReportItem(
        "precision_by_frequency",
        "Average precision of every class that occurs in the measured clips, by the number of its clips.",
        error_analysis.draw_precision_by_frequency(measured, facts),
        error_analysis.class_rows(measured),
    )
    yield ReportItem(
        "calibration",
        "For the scores in each bin: the share of the pairs of clip and class that are labelled with the class. Below "
        "the diagonal the scores are too high, above it too low.",
        error_analysis.draw_calibration(measured, facts),
        error_analysis.calibration_rows(measured),
    )
    yield ReportItem(
        "confused_pairs",
        "Mean score of a class on clips that are labelled with another class and not with it.",
        error_analysis.draw_confused_pairs(measured, facts),
        error_analysis.pair_rows(measured),
    )
    yield ReportItem(
        "co_occurrence",
        "Classes that occur together: in the labels, and in the scores.",
        error_analysis.draw_co_occurrence(measured, facts),
        error_analysis.co_occurrence_rows(measured),
    )
    yield _worst(measured)


def compare(subject: Subject) -> Iterator[ReportItem]:
    """Average precision of each class compared with another run or study."""
    if subject.comparison is None:
        raise NothingToShowError("there is no other run to compare with; name one by --against")
    figure = draw_differences(subject.comparison, subject.facts.split(", seed ")[0])
    caption = "Difference of the average precision, with its standard deviation over seeds; the CSV has all classes."
    yield ReportItem("compare", caption, figure, difference_rows(subject.comparison))


def _worst(measured: MeasuredClips) -> ReportItem:
    names = measured.labels.names
    rows, recordings = [], []
    for clip, tag in worst_missed(measured.targets, measured.scores, _NUM_WORST):
        top = int(measured.scores[clip].argmax())
        row = {
            "clip": measured.clip_ids[clip],
            "missed": names[tag],
            "its_score": float(measured.scores[clip, tag]),
            "heard": names[top],
            "that_score": float(measured.scores[clip, top]),
        }
        rows.append(row)
        missed, highest = f"{row['missed']} missed ({row['its_score']:.2f})", f"{row['heard']} scored highest"
        text = f"{row['clip']}: {missed}, {highest} ({row['that_score']:.2f})"
        recordings.append(Recording(text, _mp3(measured.waveform(clip), measured.sample_rate_hz)))
    return ReportItem(
        "worst_missed", "Labelled classes with the lowest scores, one per clip.", None, rows, tuple(recordings)
    )


def _mp3(waveform: np.ndarray, sample_rate_hz: int) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, np.clip(waveform, -1, 1), sample_rate_hz, format="MP3")
    return content.getvalue()
