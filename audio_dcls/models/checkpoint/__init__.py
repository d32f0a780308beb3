"""Checkpoints: one file that carries everything a model needs."""

from audio_dcls.models.checkpoint.checkpoint import LoadedCheckpoint, load_checkpoint, save_checkpoint

__all__ = ["LoadedCheckpoint", "load_checkpoint", "save_checkpoint"]
