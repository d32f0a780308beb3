"""Figures and pages about data, models, tags and studies."""

from audio_dcls.inspection.audit.page import audit_page
from audio_dcls.inspection.study_figure import draw_study

__all__ = ["audit_page", "draw_study"]
