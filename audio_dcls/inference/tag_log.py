"""Outcomes as JSON Lines, written while they come, so that a killed tagging can go on.

A line is `TagResult.to_json_dict()` or `TagFailure.to_json_dict()`; only the last can be torn by a kill.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from audio_dcls.errors import ArgumentError
from audio_dcls.inference.events import Event
from audio_dcls.inference.results import TagFailure, TagResult


class TagLog:
    """A file of outcomes; a context manager.

    Args:
        path: file to write; its folder is made.
        resume: whether to go on with one that is there; its torn last line, if any, is cut off.

    Raises:
        ArgumentError: the file is there and `resume` is false, or it holds something else.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with TagLog(Path(folder) / "tags.jsonl") as log:
    ...         log.add(TagFailure("a.wav", "missing", "'a.wav' does not exist"))
    ...     with TagLog(Path(folder) / "tags.jsonl", resume=True) as log:
    ...         log.done
    {'a.wav'}
    """

    def __init__(self, path: str | Path, *, resume: bool = False) -> None:
        self.path = Path(path)
        self.done: set[str] = set()
        """Sounds whose outcome stands in the file."""
        self.num_failed = 0
        self._file: BinaryIO | None = None
        if self.path.exists() and not resume:
            raise ArgumentError(f"'{path}' exists; go on with it by --resume, or name another file")
        self._whole_bytes = self._read() if self.path.exists() else 0

    def __enter__(self) -> TagLog:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab")
        self._file.truncate(self._whole_bytes)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        os.fsync(self._file.fileno())
        self._file.close()

    def add(self, outcome: TagResult | TagFailure) -> None:
        """Append an outcome; it is with the system, and so outlives this process, when this returns."""
        assert self._file is not None
        self._file.write((json.dumps(outcome.to_json_dict(), ensure_ascii=False) + "\n").encode())
        self._file.flush()
        self.done.add(outcome.path)
        self.num_failed += isinstance(outcome, TagFailure)

    def events(self) -> Iterator[tuple[str, list[Event]]]:
        """Path and events of every sound in the file that has some."""
        with self.path.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                if "events" in record:
                    yield record["path"], [Event(**event) for event in record["events"]]

    def _read(self) -> int:
        """Learn what was done; returns the length of the whole lines in bytes."""
        num_bytes = 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break
                record = self._record(line, number)
                self.done.add(record["path"])
                self.num_failed += "error" in record
                num_bytes += len(line)
        return num_bytes

    def _record(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record = json.loads(line)
            if (
                isinstance(record, dict)
                and isinstance(record.get("path"), str)
                and ("tags" in record or "error" in record)
            ):
                return record
        except ValueError:
            pass
        raise ArgumentError(f"'{self.path}', line {number}, is no outcome of tagging; name the file of an earlier one")
