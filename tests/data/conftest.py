"""Small made sounds, and `audio-dcls manifest` in this process."""

from __future__ import annotations

import contextlib
import io
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import soundfile

from audio_dcls_cli import main


@pytest.fixture
def make_sounds() -> Callable[..., None]:
    """Writes 0.2 s of noise under each name; every name sounds different."""

    def make(folder: Path, *names: str) -> None:
        for name in names:
            noise = 0.1 * np.random.default_rng(zlib.crc32(name.encode())).standard_normal(1600)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / name, noise, 8000)

    return make


@pytest.fixture
def manifest_command() -> Callable[..., str]:
    """Runs the command in a folder; returns standard output, or standard error for a mistake (one line, code 2)."""

    def run(*arguments: object, cwd: Path, code: int = 0) -> str:
        stdout, stderr = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
            mock.patch.object(sys, "argv", ["audio-dcls", "manifest", *map(str, arguments)]),
            pytest.raises(SystemExit) as caught,
        ):
            main.run()
        assert (caught.value.code or 0) == code, stdout.getvalue() + stderr.getvalue()
        if code != 2:
            return stdout.getvalue()
        assert len(stderr.getvalue().strip().splitlines()) == 1
        return stderr.getvalue()

    return run
