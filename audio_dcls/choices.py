"""The choices that Python, HTTP and the command line offer, in one place that is imported without torch."""

from __future__ import annotations

from typing import Literal

BackendName = Literal["torch", "onnx", "openvino"]
"""Libraries that compute a tagger."""
Precision = Literal["fp32", "bf16"]
"""Floating types of the backbone."""
Pooling = Literal["mean", "max", "noisy_or"]
"""How the score of a sound follows from the scores of its windows: average, maximum, or 1 - product of (1 - score)."""
Short = Literal["pad", "repeat"]
"""What fills a window that is shorter than the clips the model was trained on: zeros, or the same sound again."""
ExportFormat = Literal["onnx", "openvino", "torch-export", "safetensors"]
"""Formats of `audio-dcls export`; each has an entry in `audio_dcls.inference.export.formats`."""
