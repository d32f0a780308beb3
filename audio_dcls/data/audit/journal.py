"""The journal of a check: the outcomes so far, from which a killed check resumes.

It is a file of JSON lines next to the report, appended and flushed to disk every thousand clips. A last line that a
kill cut off is ignored. The file is removed when the complete report is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audio_dcls.data.audit.outcomes import Outcome, OutcomeTable
from audio_dcls.data.audit.report import ClipReport
from audio_dcls.data.audit.report_file import read_report
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ManifestError

_VERSION = 1
FLUSH_CLIPS = 1000


class CheckJournal:
    """The journal of the check of one report; its name is that of the report with `.journal` added.

    A ManifestError says that the file cannot be read or written, or is not a journal of this version.
    """

    def __init__(self, report: Path) -> None:
        self.report = report
        self.path = report.with_name(f"{report.name}.journal")
        self._pending: list[str] = []

    def known_reports(self) -> list[ClipReport]:
        """Earlier outcomes, oldest first: the report, and the journal of a check that was killed after it."""
        reports = [read_report(self.report)] if self.report.is_file() else []
        if self.path.is_file():
            rows = list(self._rows())
            table = ClipTable.from_clips(clip for clip, _ in rows)
            reports.append(ClipReport(table, OutcomeTable.from_outcomes(outcome for _, outcome in rows)))
        return reports

    def add(self, clip: Clip, outcome: Outcome) -> None:
        """Record a clip; it is on disk after a thousand clips, or after `flush`."""
        sound = (os.path.abspath(clip.path), clip.start_s, clip.end_s, clip.sha256, clip.row)
        cells = (_VERSION, *sound, *outcome[:-1], outcome.content.hex())
        self._pending.append(json.dumps(cells) + "\n")
        if len(self._pending) >= FLUSH_CLIPS:
            self.flush()

    def flush(self) -> None:
        """Write the recorded clips to disk."""
        if not self._pending:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as stream:
                stream.write("".join(["\n", *self._pending]).encode())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise ManifestError(f"'{self.path}' cannot be written ({error.strerror}); free some disk space") from error
        self._pending.clear()

    def remove(self) -> None:
        """Remove the file, once the report holds all of it."""
        self._pending.clear()
        self.path.unlink(missing_ok=True)

    def _rows(self) -> Iterator[tuple[Clip, Outcome]]:
        for cells in _whole_lines(self.path):
            if not (isinstance(cells, list) and cells[:1] == [_VERSION]):
                raise ManifestError(f"'{self.path}' is not a journal of version {_VERSION}; delete it to start again")
            _, path, start_s, end_s, sha256, row, *values, content = cells
            outcome = Outcome._make([*values, bytes.fromhex(content)])
            yield Clip("", Path(path), start_s, end_s, (), "", sha256, row), outcome


def _whole_lines(path: Path) -> Iterator[Any]:
    """JSON values of the complete lines; a kill may leave a line cut off at the end of each flush."""
    try:
        with path.open("rb") as stream:
            for line in stream:
                if not line.strip():
                    continue
                try:
                    yield json.loads(line)
                except ValueError:  # cut off
                    continue
    except OSError as error:
        raise ManifestError(f"'{path}' cannot be read ({error.strerror}); fix it, or delete it") from error
