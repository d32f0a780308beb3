"""The chapters of a report, by name, in its order.

A new chapter is a new entry; a new figure in a chapter is one more item that the chapter's function yields.
"""

from __future__ import annotations

from audio_dcls.inspection.report.costs_chapter import time
from audio_dcls.inspection.report.elements_chapter import kernels, positions, speed
from audio_dcls.inspection.report.item import Chapter
from audio_dcls.inspection.report.receptive_field_chapter import receptive_field
from audio_dcls.inspection.report.saliency_chapter import saliency
from audio_dcls.inspection.report.scores_chapter import compare, errors

CHAPTERS: dict[str, Chapter] = {
    "positions": Chapter(positions),
    "speed": Chapter(speed),
    "kernels": Chapter(kernels),
    "receptive-field": Chapter(receptive_field, needs_clips=True),
    "saliency": Chapter(saliency, needs_clips=True),
    "errors": Chapter(errors, needs_scores=True),
    "compare": Chapter(compare),
    "time": Chapter(time, needs_clips=True),
}
