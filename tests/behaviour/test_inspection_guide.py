"""What docs/inspection.md shows runs as shown, and it names every chapter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from audio_dcls.inspection.report.chapters import CHAPTERS

GUIDE = (Path(__file__).parents[2] / "docs" / "inspection.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(code, {})
    assert (tmp_path / "positions.pdf").read_bytes().startswith(b"%PDF")
    assert re.fullmatch(r"\(\d+, \d+\)\n", capsys.readouterr().out)


def test_every_chapter_is_named() -> None:
    assert re.findall(r"^\| `([a-z-]+)` \|", GUIDE, re.MULTILINE) == list(CHAPTERS)
