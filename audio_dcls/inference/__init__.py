"""Tagging sounds with a trained model."""

from audio_dcls.inference.results import Tag, TagResult
from audio_dcls.inference.tagger import Tagger

__all__ = ["Tag", "TagResult", "Tagger"]
