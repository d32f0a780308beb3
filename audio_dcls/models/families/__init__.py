"""The families of backbones: one file per family, and the list of them."""

from audio_dcls.models.families.family import CLASSIFIER, AuthorsLayout, Family
from audio_dcls.models.families.registry import FAMILIES, PAPER_NAMES, find_family, member_names

__all__ = ["CLASSIFIER", "FAMILIES", "PAPER_NAMES", "AuthorsLayout", "Family", "find_family", "member_names"]
