"""What a command shows of long work."""

from __future__ import annotations

import pytest

from audio_dcls_cli.screen.progress import clip_progress


def test_without_a_terminal_every_tenth_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with clip_progress("Synthesising", 30, is_logged=True) as advance:
        for count in (1, 1, 2, 20, 6):
            advance(count)
    assert capsys.readouterr().out.splitlines() == [
        "Synthesising: 4 of 30 clips",
        "Synthesising: 24 of 30 clips",
        "Synthesising: 30 of 30 clips",
    ]
    with clip_progress("Checking", 30) as advance:
        advance(30)
    assert capsys.readouterr().out == ""
