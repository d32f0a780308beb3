"""Packages that only some features need: the extras of `pyproject.toml`."""

from __future__ import annotations

import importlib
from typing import Any

from audio_dcls.errors import ArgumentError, AudioDclsError


def need_package(name: str, extra: str, error_type: type[AudioDclsError] = ArgumentError) -> Any:
    """Import the package or module that an extra of audio-dcls brings; `error_type` is raised if it is not installed.

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
