"""A synthesised demo corpus."""

from audio_dcls.data.demo.corpus import DemoCorpus, write_demo_corpus
from audio_dcls.data.demo.sounds import SOUNDS, Sound, demo_labels

__all__ = ["SOUNDS", "DemoCorpus", "Sound", "demo_labels", "write_demo_corpus"]
