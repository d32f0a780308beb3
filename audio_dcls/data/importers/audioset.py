"""Import AudioSet: segments lists and folders of audio become a manifest.

A segments list has three comment lines, then one row `YTID, start_seconds, end_seconds, "label,label"` per segment
(https://research.google.com/audioset/download.html).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from audio_dcls.data.importers.dataset_import import DatasetImport
from audio_dcls.data.manifest import Manifest
from audio_dcls.data.parallel import map_in_batches
from audio_dcls.data.sound.audio_folder import AudioFolder, FoundFile
from audio_dcls.data.sound.decode import sound_duration_s
from audio_dcls.data.table.csv_file import read_csv
from audio_dcls.data.table.manifest_rows import ClipRows, Piece
from audio_dcls.data.table.string_column import StringColumn
from audio_dcls.errors import ArgumentError, AudioFileError, ManifestError
from audio_dcls.labels import LabelSet

_SEGMENT_COLUMNS: tuple[str, ...] = ("id", "start_s", "end_s", "labels")
_SLACK_S = 0.5
"""If a file is longer than its segment by more than this, the file holds more than the segment."""

Holding = Literal["auto", "segment", "recording"]


@dataclass(frozen=True)
class AudioSetImport(DatasetImport):
    """A manifest of AudioSet segments, which are its clips, and counts of the files that were found."""

    num_recordings: int = 0
    """Number of segments that are a part of a longer file, given by their times."""
    repeated: tuple[str, ...] = ()
    """Ids of segments with more than one file; the first path in alphabetical order was taken."""


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

    Files are searched for at any depth, by the names `YTID_start_end`, `YTID_start` (seconds or milliseconds) or
    `YTID`, each also with a prefix `Y`, with any extension that libsndfile reads, or else that the extra `[video]`
    reads.

    `segments` are lists, each with the split of its segments. `holding` is the content of a file that is named only by
    its YTID: the `segment`, or the whole `recording`, of which the segment is the part between its times; `auto`
    decides by the length. A name with times always means a segment. Each of `num_workers` threads reads lengths; 0
    reads them in the calling thread. `on_progress` is called with the number of segments placed since the last call.
    Raise an ArgumentError if no list or no folder is given, and a ManifestError if a list or a folder is missing, a row
    breaks a rule, or a segment is listed twice.
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
    """Read a segments list; the path of each clip is its YTID.

    The id of a clip is `YTID_milliseconds`, as in AudioSet's list of strong labels, because a recording may have
    several segments. Raise a ManifestError if the list is missing, or a row breaks a rule; the message names the row.
    """
    rows = ClipRows(path, labels, Path(), label_separator=",")
    for numbers, cells in read_csv(path, skip_rows=_num_comment_lines(path)):
        if len(cells) != len(_SEGMENT_COLUMNS):
            raise ManifestError(
                f"'{path}', row {numbers[0]}, has {len(cells)} cells; a segments list has YTID, start, end and labels; "
                "put the labels in double quotes, or give an AudioSet list"
            )
        columns = dict(zip(_SEGMENT_COLUMNS, cells, strict=True))
        piece = Piece(path, numbers, columns)
        for column in _SEGMENT_COLUMNS:
            piece.reject(column, columns[column] == "", "must not be empty; fill it in")
        times_ms = np.rint(1000 * piece.times("start_s")).astype(np.int64).tolist()
        columns["path"] = columns["id"]
        ids = [f"{name}_{time_ms}" for name, time_ms in zip(columns["id"], times_ms, strict=True)]
        columns["id"] = np.array(ids, dtype=object)
        columns["split"] = np.full(len(ids), split, dtype=object)
        rows.add(numbers, columns)
    return Manifest(clips=rows.table(), labels=labels, source=str(path))


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
    """Return whether a segment is a part of its file, given by its times."""
    file, start_s, end_s = segment
    if file is None or file.is_segment or holding == "segment":
        return False
    if holding == "recording":
        return True
    try:
        duration_s = sound_duration_s(file.path)
    except AudioFileError:  # `manifest check` reports it
        return False
    return duration_s > end_s - start_s + _SLACK_S and duration_s > start_s
