"""Exporting a model for other programs."""

from audio_dcls.inference.backends.exported_file import load_exported
from audio_dcls.inference.export.exporter import export_checkpoint

__all__ = ["export_checkpoint", "load_exported"]
