"""The report of `audio-dcls inspect`: its chapters and its page."""

from audio_dcls.inspection.report.inspection import Inspection, InspectionOptions, inspect_model

__all__ = ["Inspection", "InspectionOptions", "inspect_model"]
