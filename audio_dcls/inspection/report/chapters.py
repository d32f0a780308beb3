"""The chapters of a report, by name, in its order."""

from __future__ import annotations

from audio_dcls.inspection.report.clips_chapter import compare, errors, saliency
from audio_dcls.inspection.report.costs_chapter import time
from audio_dcls.inspection.report.elements_chapter import kernels, positions, speed
from audio_dcls.inspection.report.exhibit import Chapter
from audio_dcls.inspection.report.field_chapter import receptive_field

CHAPTERS: dict[str, Chapter] = {
    "positions": positions,
    "speed": speed,
    "kernels": kernels,
    "receptive-field": receptive_field,
    "saliency": saliency,
    "errors": errors,
    "compare": compare,
    "time": time,
}
