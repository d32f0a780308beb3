"""`audio-dcls serve` checks its options before it listens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--model", "mine=none/here"], "--model (='mine=none/here') does not exist"),
        (["--data-root", "nowhere"], "--data-root (='nowhere') is not a folder"),
        (
            ["--set", "keys=required"],
            "`keys` (='required') requires API keys, and 'audio_dcls_service/keys",
        ),
        (["--host", "0.0.0.0"], "--host (='0.0.0.0') can be reached by others"),
    ],
)
def test_an_option_that_names_nothing_is_refused(
    option: list[str], said: str, command_line: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in command_line.refuse("serve", *option)
    assert not list(tmp_path.iterdir())
