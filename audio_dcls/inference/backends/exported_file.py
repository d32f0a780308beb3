"""Loading a file of `audio-dcls export`."""

from __future__ import annotations

from pathlib import Path

from audio_dcls.choices import Precision
from audio_dcls.errors import ArgumentError
from audio_dcls.inference.backends.onnx_backend import OnnxBackend
from audio_dcls.inference.backends.openvino_backend import OpenVinoBackend


def is_exported(path: str | Path) -> bool:
    """Return whether a path has the suffix of an exported file that a backend can load."""
    return Path(path).suffix in (".onnx", ".xml")


def load_exported(path: str | Path, *, precision: Precision = "fp32") -> OnnxBackend | OpenVinoBackend:
    """A backend of an exported .onnx or .xml file; its `info` names the classes.

    Raises:
        ArgumentError: another suffix, a precision it does not have, or a package that is not installed.
        CheckpointError: the file is missing, damaged, or was not written by `audio-dcls export`.
    """
    if not is_exported(path):
        raise ArgumentError(f"`path` (='{path}') must end with .onnx or .xml; use the checkpoint itself")
    if Path(path).suffix == ".xml":
        return OpenVinoBackend(path, precision=precision)
    if precision != "fp32":
        raise ArgumentError(f"`precision` (={precision!r}) must be 'fp32' for '{path}'; an .xml file has 'bf16'")
    return OnnxBackend(path)
