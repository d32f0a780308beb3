"""The chapters of a report, by name, in its order."""

from __future__ import annotations

from audio_dcls.inspection.chapters_clips import compare, errors, saliency
from audio_dcls.inspection.chapters_costs import time
from audio_dcls.inspection.chapters_elements import kernels, positions, speed
from audio_dcls.inspection.chapters_field import receptive_field
from audio_dcls.inspection.exhibit import Chapter

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
