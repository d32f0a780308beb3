"""The chapter on how the model differs from another, class by class."""

from __future__ import annotations

from collections.abc import Iterator

from audio_dcls.errors import NothingToShowError
from audio_dcls.inspection.comparison import difference_rows, draw_differences
from audio_dcls.inspection.report.item import ReportItem
from audio_dcls.inspection.report.subject import Subject


def compare(subject: Subject) -> Iterator[ReportItem]:
    """Average precision of each class compared with another run or study."""
    if subject.comparison is None:
        raise NothingToShowError("there is no other run to compare with; name one by --against")
    figure = draw_differences(subject.comparison, subject.facts.split(", seed ")[0])
    caption = "Difference of the average precision, with its standard deviation over seeds; the CSV has all classes."
    yield ReportItem("compare", caption, figure, difference_rows(subject.comparison))
