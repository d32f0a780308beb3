"""A synthesised demo corpus."""

from audio_dcls.data.demo.config import DemoConfig
from audio_dcls.data.demo.corpus import DemoCorpus, build_demo_corpus, write_demo_corpus
from audio_dcls.data.demo.labels import demo_labels
from audio_dcls.data.demo.sounds import SOUNDS, Sound

__all__ = ["SOUNDS", "DemoConfig", "DemoCorpus", "Sound", "build_demo_corpus", "demo_labels", "write_demo_corpus"]
