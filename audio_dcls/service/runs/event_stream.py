"""The events of a run as they happen; a client that lost its connection continues where it stopped."""

from __future__ import annotations

import asyncio
import collections
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from audio_dcls.errors import ServiceError
from audio_dcls.runs.run_files import parse_metrics_line
from audio_dcls.service.runs.launcher import log_path
from audio_dcls.service.runs.queue import RunEntry
from audio_dcls.service.runs.run_folder import SeedFolder, seed_folders
from audio_dcls.service.runs.schemas import RunView

EventName = Literal["run", "metrics", "log", "end"]
_MAX_READ_BYTES = 1_000_000
"""One poll reads at most this much of a file; the next poll reads on."""
_LOG_TAIL_BYTES = 20_000
"""A new listener gets this much of the log's end."""
_FEW_EVENTS = 100
"""After a poll with at least this number of events, the next poll follows at once."""
_MAX_ID_LENGTH = 100_000
_PLACE = re.compile(
    r"(?P<key>(?:[A-Za-z0-9_][A-Za-z0-9._-]*/)?[0-9]{1,12}):(?P<step>[0-9]{1,18})\.(?P<count>[0-9]{1,9})"
)


@dataclass(frozen=True)
class RunEvent:
    """One event of a run."""

    name: EventName
    data: dict[str, Any]
    id: str
    """The place after this event; a client that sends it as `Last-Event-ID` gets the events that follow."""


@dataclass
class _LineReader:
    """Reads the new lines of a growing file; after the file is replaced, it reads from the beginning."""

    path: Path
    offset: int = 0
    inode: int = -1

    def new_lines(self) -> Iterator[bytes]:
        """Complete lines since the last call."""
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                if stat.st_ino != self.inode or stat.st_size < self.offset:
                    self.offset = 0 if self.inode != -1 or stat.st_size < self.offset else self.offset
                    self.inode = stat.st_ino
                file.seek(self.offset)
                content = file.read(_MAX_READ_BYTES)
        except OSError:
            return
        end = content.rfind(b"\n") + 1
        if end == 0 and len(content) == _MAX_READ_BYTES:
            end = len(content)
        self.offset += end
        yield from content[:end].splitlines(keepends=True)


@dataclass
class _Curve:
    """The metrics.jsonl of one seed.

    A resumed run deletes the lines after its checkpoint and writes the same lines again. The lines of steps that were
    already sent are not sent again.
    """

    folder: SeedFolder
    step: int = 0
    """The step of the last line sent."""
    count: int = 0
    """The number of lines sent for that step."""
    reader: _LineReader = field(init=False)
    _read_step: int = -1
    _read_count: int = 0
    _read_inode: int = -1

    def __post_init__(self) -> None:
        self.reader = _LineReader(self.folder.metrics_path)

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """Lines that were not sent yet."""
        lines = list(self.reader.new_lines())
        if self.reader.inode != self._read_inode:
            self._read_step, self._read_count, self._read_inode = -1, 0, self.reader.inode
        for text in lines:
            line = parse_metrics_line(text)
            if line is None:
                continue
            self._read_count = self._read_count + 1 if line["step"] == self._read_step else 1
            self._read_step = line["step"]
            if (self._read_step, self._read_count) > (self.step, self.count):
                self.step, self.count = self._read_step, self._read_count
                yield line


class RunEvents:
    """The events of one run for one listener.

    `run` holds the run whenever it changed, `metrics` one line of a metrics.jsonl, `log` new lines of output. `end` is
    the last event.

    Args:
        entry: the run.
        look: returns the run as it is sent, and whether it is over; raises ServiceError once the run is deleted.
        poll_s: time between two polls.
        last_event_id: the place to continue from; an id that is not valid is ignored.
        replay: begin with only this number of each curve's last lines; None for all.
    """

    def __init__(
        self,
        entry: RunEntry,
        look: Callable[[str], tuple[RunView, bool]],
        *,
        poll_s: float = 0.5,
        last_event_id: str | None = None,
        replay: int | None = None,
    ) -> None:
        self.entry, self.look, self.poll_s, self.replay = entry, look, poll_s, replay
        self.curves = {folder.key: _Curve(folder) for folder in seed_folders(entry)}
        self.log = _LineReader(log_path(entry))
        self._last_run: dict[str, Any] | None = None
        if last_event_id is None or not self._continue_from(last_event_id):
            self._skip_log()
        else:
            self.replay = None

    async def stream(self) -> AsyncIterator[RunEvent]:
        """Yield events until the run is over or deleted."""
        while True:
            events, is_over = await asyncio.to_thread(self.poll)
            for event in events:
                yield event
            if is_over:
                return
            await asyncio.sleep(self.poll_s if len(events) < _FEW_EVENTS else 0)

    def poll(self) -> tuple[list[RunEvent], bool]:
        """The events since the last call, and whether they are the last ones."""
        try:
            view, is_over = self.look(self.entry.id)
        except ServiceError:
            return [self._event("end", {"state": "deleted"})], True
        events = []
        run = view.model_dump(mode="json")
        watched = {**run, "time_left_s": None}
        if watched != self._last_run:
            self._last_run = watched
            events.append(self._event("run", run))
        metrics = list(self._metrics())
        events += metrics
        lines = [line.decode("utf-8", errors="replace").rstrip("\r\n") for line in self.log.new_lines()]
        if lines:
            events.append(self._event("log", {"lines": lines}))
        if is_over and not metrics and not lines:
            return [*events, self._event("end", {"state": view.state})], True
        return events, False

    def _metrics(self) -> Iterator[RunEvent]:
        for curve in self.curves.values():
            lines = curve.new_lines()
            if self.replay is not None:
                lines = collections.deque(lines, maxlen=self.replay)
                while more := list(curve.new_lines()):
                    lines.extend(more)
            for line in lines:
                yield self._event("metrics", {"seed": curve.folder.seed, "case": curve.folder.case, "line": line})
        self.replay = None

    def _event(self, name: EventName, data: dict[str, Any]) -> RunEvent:
        places = [f"{key}:{curve.step}.{curve.count}" for key, curve in self.curves.items() if curve.count]
        return RunEvent(name, data, ",".join([f"log:{self.log.offset}", *places]))

    def _continue_from(self, text: str) -> bool:
        """Continue from the place in an event's id; return False if the id is not valid."""
        first, *places = text[:_MAX_ID_LENGTH].split(",")
        kind, _, offset = first.partition(":")
        if kind != "log" or not offset.isascii() or not offset.isdigit() or len(offset) > 18:
            return False
        self.log.offset = int(offset)
        for place in places:
            match = _PLACE.fullmatch(place)
            curve = None if match is None else self.curves.get(match["key"])
            if match is not None and curve is not None:
                curve.step, curve.count = int(match["step"]), int(match["count"])
        return True

    def _skip_log(self) -> None:
        """Begin near the log's end, at the beginning of a line."""
        try:
            with self.log.path.open("rb") as file:
                start = max(0, file.seek(0, 2) - _LOG_TAIL_BYTES)
                if start:
                    file.seek(start)
                    file.readline()
                    self.log.offset = file.tell()
        except OSError:
            return
