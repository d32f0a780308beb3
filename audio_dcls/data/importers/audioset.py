"""AudioSet's segments lists and folders of audio -> a manifest.

A segments list has three comment lines, then `YTID, start_seconds, end_seconds, "label,label"` a row
(https://research.google.com/audioset/download.html).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from audio_dcls.data.manifest import Manifest
from audio_dcls.data.parallel import map_in_batches
from audio_dcls.data.sound.audio_folder import AudioFolder, FoundFile
from audio_dcls.data.sound.decode import sound_duration_s
from audio_dcls.data.table.csv_file import read_csv
from audio_dcls.data.table.manifest_rows import ClipRows, Piece
from audio_dcls.data.table.string_column import StringColumn
from audio_dcls.errors import ArgumentError, AudioFileError, ManifestError
from audio_dcls.labels import LabelSet

SEGMENT_COLUMNS: tuple[str, ...] = ("id", "start_s", "end_s", "labels")
SLACK_S = 0.5
"""A file longer than its segment by more than this holds more than the segment."""

Holding = Literal["auto", "segment", "recording"]


@dataclass(frozen=True)
class AudioSetImport:
    """A manifest of AudioSet segments, and what was found of it on disk."""

    manifest: Manifest
    num_found: int
    """Segments with a file."""
    num_missing: int
    """Segments without one; their rows name the file that was looked for."""
    num_recordings: int
    """Segments that are part of a longer file, by their times."""
    repeated: tuple[str, ...]
    """Ids of segments with more than one file; the first in alphabetical order of paths was taken."""
    num_unlisted: int
    """Audio files that belong to no segment."""


def import_audioset(
    segments: Sequence[tuple[Path, str]],
    audio_folders: Sequence[Path],
    labels: LabelSet,
    *,
    holding: Holding = "auto",
    num_workers: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> AudioSetImport:
    """Build a manifest from segments lists and folders of audio.

    A file is looked for, at any depth, as `YTID_start_end`, `YTID_start` (seconds or milliseconds) or `YTID`, each also
    with a `Y` before it, with any extension libsndfile or, after those, the extra `[video]` reads.

    Args:
        segments: lists, each with the split its segments belong to; at least one.
        audio_folders: folders to search; at least one.
        labels: classes the labels are looked up in.
        holding: what a file named by its YTID alone holds: the `segment`, or the whole `recording`, of which the
            segment is the part between its times; `auto` tells by its length. A name with times is a segment's.
        num_workers: threads that read lengths; 0 reads them in this one.
        on_progress: called with the number of segments placed since the last call.

    Raises:
        ArgumentError: no list or no folder is given.
        ManifestError: a list or a folder is missing, a row is wrong, or a segment is listed twice.
    """
    if not segments or not audio_folders:
        raise ArgumentError("`segments` and `audio_folders` must each name at least one; give a list and a folder")
    listed = Manifest.concatenate([read_segments(path, split, labels) for path, split in segments])
    folder = AudioFolder.scan(audio_folders)
    table = listed.table
    segments_of = list(zip(table.paths.to_list(), table.start_s.tolist(), table.end_s.tolist(), strict=True))
    found = [folder.find(*segment) for segment in segments_of]
    is_part: list[bool] = []
    is_part_of = functools.partial(_is_part, holding=holding)
    for batch in map_in_batches(is_part_of, zip(found, table.start_s, table.end_s, strict=True), num_workers):
        is_part.extend(batch)
        if on_progress is not None:
            on_progress(len(batch))
    expected = [f"{audio_folders[0]}/{name}.wav" for name, _, _ in segments_of]
    paths = [path if file is None else file.path for path, file in zip(expected, found, strict=True)]
    has_file = np.array([file is not None for file in found], dtype=bool)
    keeps_times = np.array(is_part, dtype=bool) | ~has_file
    placed = table.with_columns(
        paths=StringColumn.from_strings(paths),
        start_s=np.where(keeps_times, table.start_s, np.nan),
        end_s=np.where(keeps_times, table.end_s, np.nan),
    )
    return AudioSetImport(
        manifest=replace(listed, clips=placed),
        num_found=int(has_file.sum()),
        num_missing=int((~has_file).sum()),
        num_recordings=int(sum(is_part)),
        repeated=tuple(table.ids[i] for i, file in enumerate(found) if file is not None and file.num_files > 1),
        num_unlisted=folder.num_files - len({file.path for file in found if file is not None}),
    )


def read_segments(path: Path, split: str, labels: LabelSet) -> Manifest:
    """Read a segments list; each clip's path is its YTID alone.

    A clip's id is `YTID_milliseconds`, as in AudioSet's list of strong labels: a recording may have several segments.

    Raises:
        ManifestError: the list is missing or a row is wrong; the row is named.
    """
    rows = ClipRows(path, labels, label_separator=",")
    for numbers, cells in read_csv(path, skip_rows=_num_comment_lines(path)):
        if len(cells) != len(SEGMENT_COLUMNS):
            raise ManifestError(
                f"'{path}', row {numbers[0]}, has {len(cells)} cells; a segments list has YTID, start, end and labels; "
                "put the labels in double quotes, or give an AudioSet list"
            )
        columns = dict(zip(SEGMENT_COLUMNS, cells, strict=True))
        piece = Piece(path, numbers, columns)
        for column in SEGMENT_COLUMNS:
            piece.reject(column, columns[column] == "", "must not be empty; fill it in")
        times_ms = np.rint(1000 * piece.times("start_s")).astype(np.int64).tolist()
        columns["path"] = columns["id"]
        ids = [f"{name}_{time_ms}" for name, time_ms in zip(columns["id"], times_ms, strict=True)]
        columns["id"] = np.array(ids, dtype=object)
        columns["split"] = np.full(len(ids), split, dtype=object)
        rows.add(numbers, columns)
    return Manifest(clips=rows.table(Path()), labels=labels, source=str(path))


def _num_comment_lines(path: Path) -> int:
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream):
                if not line.removeprefix(b"\xef\xbb\xbf").startswith(b"#"):
                    return number
            return 0
    except OSError as error:
        raise ManifestError(f"segments list '{path}' cannot be read: {error.strerror}; check the path") from error


def _is_part(segment: tuple[FoundFile | None, float, float], *, holding: Holding) -> bool:
    """Whether a segment is a part of its file, between its times."""
    file, start_s, end_s = segment
    if file is None or file.is_segment or holding == "segment":
        return False
    if holding == "recording":
        return True
    try:
        duration_s = sound_duration_s(file.path)
    except AudioFileError:  # a check reports it
        return False
    return duration_s > end_s - start_s + SLACK_S and duration_s > start_s
