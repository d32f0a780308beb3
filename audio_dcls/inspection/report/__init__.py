"""The report of `audio-dcls inspect`: its chapters and its page."""

from audio_dcls.inspection.report.find_subject import InspectionOptions
from audio_dcls.inspection.report.inspection import Inspection, inspect_model

__all__ = ["Inspection", "InspectionOptions", "inspect_model"]
