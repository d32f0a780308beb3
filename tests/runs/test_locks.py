"""Locks between processes."""

from __future__ import annotations

from pathlib import Path

from audio_dcls.runs.locks import try_lock, wait_for_lock


def test_who_waits_for_a_lock_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    with wait_for_lock(tmp_path / "lock", lambda: told.append("a")):
        assert told == []
        with try_lock(tmp_path / "lock") as held:
            assert not held
