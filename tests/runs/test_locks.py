"""Locks between processes."""

from __future__ import annotations

from pathlib import Path

from audio_dcls.runs.locks import try_lock, wait_for_lock


def test_a_process_that_waits_for_a_lock_is_notified(tmp_path: Path) -> None:
    waits: list[str] = []
    with wait_for_lock(tmp_path / "lock", lambda: waits.append("a")):
        assert waits == []
        with try_lock(tmp_path / "lock") as held:
            assert not held
