r"""Write outcomes as JSON Lines, one by one, so that tagging can be resumed after a kill.

A line is `TagResult.to_json_dict()` or `TagFailure.to_json_dict()`; a kill can leave only the last line incomplete.
Bytes of a path that are not UTF-8 are JSON's escapes \udc80 to \udcff, which Python reads back to the same path.
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

    `resume` continues an existing file; if its last line is incomplete, it is removed. An `ArgumentError` says that the
    file exists and `resume` is False, or that it holds something else.

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
        """Names of the sounds whose outcome is in the file."""
        self.num_failed = 0
        self._file: BinaryIO | None = None
        if self.path.exists() and not resume:
            raise ArgumentError(f"'{path}' exists; continue it with --resume, or name another file")
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
        """Append an outcome and flush it, so that it survives a kill of this process."""
        assert self._file is not None
        line = json.dumps(outcome.to_json_dict(), ensure_ascii=False) + "\n"
        self._file.write(line.encode(errors="backslashreplace"))
        self._file.flush()
        self.done.add(outcome.path)
        self.num_failed += isinstance(outcome, TagFailure)

    def events(self) -> Iterator[tuple[str, list[Event]]]:
        """Yield the path and the events of every sound that was tagged with a timeline."""
        with self.path.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                if "events" in record:
                    yield record["path"], [Event(**event) for event in record["events"]]

    def _read(self) -> int:
        """Read which sounds are done; return the length of the complete lines in bytes."""
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
        raise ArgumentError(f"'{self.path}', line {number}, is not an outcome of tagging; name a file that `tag` wrote")
