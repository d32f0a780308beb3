"""The command line in the tests' own process: importing torch in another takes longer than most commands do."""

from __future__ import annotations

import sys
from typing import NamedTuple

import pytest

from audio_dcls_cli import main


class Printed(NamedTuple):
    """What a command wrote."""

    stdout: str
    stderr: str


class CommandLine:
    """`audio-dcls` with arguments; what it printed is returned, and its exit code checked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: object, code: int = 0) -> Printed:
        self.monkeypatch.setattr(sys, "argv", ["audio-dcls", *map(str, arguments)])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.run()
        captured = self.capsys.readouterr()
        assert (ended.value.code or 0) == code, captured.out + captured.err
        return Printed(captured.out, captured.err)

    def refuse(self, *arguments: object) -> str:
        """The one line on standard error of a command that must end with code 2."""
        text = self(*arguments, code=2).stderr.strip()
        assert len(text.splitlines()) == 1
        return text


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)
