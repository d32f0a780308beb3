"""The command line's own work: what it prints on streams of other encodings."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
import typer

from audio_dcls_cli import main
from audio_dcls_cli.screen.progress import out, warn

TEXT = "██░ ✓ … ±0.1 10–20 → λ café caf\udce9"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "██░ ✓ … ±0.1 10–20 → λ café caf\\udce9"),
        ("cp1252", "##. * … ±0.1 10–20 -> \\u03bb café caf\\udce9"),
        ("latin-1", "##. * ... ±0.1 10-20 -> \\u03bb café caf\\udce9"),
        ("ascii", "##. * ... +-0.1 10-20 -> \\u03bb caf\\xe9 caf\\udce9"),
    ],
)
def test_every_character_is_printed_in_every_encoding(
    encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def app(*_: Any) -> None:
        out.print(TEXT, markup=False)
        sys.stderr.write(f"{TEXT}\n")
        typer.echo("{}")  # click writes UTF-8 where a stream is ASCII
        warn(TEXT)

    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    monkeypatch.setattr(main, "app", app)
    main.run()
    written = []
    for stream in streams:
        stream.flush()
        written += stream.buffer.getvalue().decode(encoding).splitlines()  # type: ignore[attr-defined]
    assert written == [shown, "{}", shown, f"error: {shown}"]
