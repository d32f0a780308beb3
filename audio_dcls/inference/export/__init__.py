"""Exporting a model for other programs."""

from audio_dcls.inference.export.exporter import export_checkpoint, load_exported

__all__ = ["export_checkpoint", "load_exported"]
