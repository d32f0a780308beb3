"""Tagging sounds with a trained model."""

from audio_dcls.data.sound.sound_stream import ArraySound
from audio_dcls.inference.events import Event
from audio_dcls.inference.results import Tag, TagFailure, TagResult, WindowScores
from audio_dcls.inference.tagger import Tagger
from audio_dcls.tag_options import TagOptions, Timeline

__all__ = ["ArraySound", "Event", "Tag", "TagFailure", "TagOptions", "TagResult", "Tagger", "Timeline", "WindowScores"]
