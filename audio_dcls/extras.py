"""Packages that only some features need: the extras of `pyproject.toml`."""

from __future__ import annotations

import importlib
from typing import Any

from audio_dcls.errors import ArgumentError, AudioDclsError


def need_package(name: str, extra: str, error_type: type[AudioDclsError] = ArgumentError) -> Any:
    """Import a package of an extra.

    Args:
        name: the package or module to import.
        extra: the extra of audio-dcls that brings it.
        error_type: class of the error to raise.

    Returns:
        The module.

    Raises:
        AudioDclsError: the package is not installed; the error has the given type.

    >>> need_package("json", "onnx").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != name.partition(".")[0]:
            raise  # the package is installed, but a package that it needs is not
        raise error_type(
            f"this needs {name}, which is not installed; install it with: pip install 'audio-dcls[{extra}]'"
        ) from error
