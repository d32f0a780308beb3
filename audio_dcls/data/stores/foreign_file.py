"""A Parquet file with a column of sounds that this package did not write, such as those of the Hugging Face hub.

It does not record the positions of its sounds, so whole row groups are read, and the last ones are kept in memory.
"""

from __future__ import annotations

import bisect
import itertools
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from audio_dcls.data.sound.sound_file import unusable
from audio_dcls.data.sound.stored_sound import EncodedSound
from audio_dcls.errors import AudioFileError
from audio_dcls.files import path_remedy

_ROW_GROUPS_KEPT = 2
"""A row group holds 100 sounds or more, about 100 MB; two are enough for a loader that shuffles within a shard."""
SOUND_COLUMN = "audio"


class ForeignFile:
    """The sounds of one Parquet file, by row. One process uses it, from any number of threads.

    The column of sounds is `audio`, or else the only column of structs with a field `bytes`. Raise an AudioFileError
    (missing or unreadable) if the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = pq.ParquetFile(path, memory_map=True)
        except FileNotFoundError as error:
            raise unusable(
                path, "missing", f"does not exist; {path_remedy(path)}, or load the manifest again"
            ) from error
        except (pa.ArrowException, OSError) as error:
            raise unusable(path, "unreadable", f"is not a readable Parquet file ({error}); fetch it again") from error
        column = sound_column(self.file.schema_arrow)
        if column is None:
            problem = f"has no column of sounds, such as `{SOUND_COLUMN}`, among {self.file.schema_arrow.names}"
            raise unusable(path, "unreadable", f"{problem}; give the files that hold the sounds themselves")
        self.column = column
        metadata = self.file.metadata
        sizes = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self.starts = list(itertools.accumulate(sizes, initial=0))
        self.groups: OrderedDict[int, Any] = OrderedDict()
        self.lock = threading.Lock()

    def read(self, row: int) -> EncodedSound:
        """The sound of a row, counted from 0; raise an AudioFileError (missing, empty or unreadable) if it has none."""
        label = f"'{self.path}', row {row}"
        if not 0 <= row < self.starts[-1]:
            message = f"{label} does not exist; the file has changed; load the manifest again"
            raise AudioFileError(message, reason="missing")
        group = bisect.bisect_right(self.starts, row) - 1
        with self.lock:
            sounds = self._group(group, label)
        value = sounds[row - self.starts[group]].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if content is None:
            problem = f"{label} holds no sound in column '{self.column}', at most the name of a file"
            raise AudioFileError(f"{problem}; fetch files that hold the sounds themselves", reason="missing")
        if not content:
            raise AudioFileError(f"{label} holds a sound of 0 bytes; remove the row", reason="empty")
        return EncodedSound(content=content, name=label)

    def _group(self, group: int, label: str) -> Any:
        if group not in self.groups:
            while len(self.groups) >= _ROW_GROUPS_KEPT:
                self.groups.popitem(last=False)
            try:
                # Without Arrow's threads, because the workers of a loader already share the cores.
                table = self.file.read_row_group(group, columns=[self.column], use_threads=False)
            except (pa.ArrowException, OSError) as error:
                message = f"{label} cannot be read ({error}); the file is damaged, fetch it again"
                raise AudioFileError(message, reason="unreadable") from error
            self.groups[group] = table.column(0)
        self.groups.move_to_end(group)
        return self.groups[group]


def sound_column(schema: pa.Schema) -> str | None:
    """The column of a schema that holds sounds; None if there is no such column, or several.

    >>> sound_column(pa.schema({"id": pa.string(), "sound": pa.struct({"bytes": pa.binary(), "path": pa.string()})}))
    'sound'
    """
    if SOUND_COLUMN in schema.names:
        kind = schema.field(SOUND_COLUMN).type
        return SOUND_COLUMN if _holds_bytes(kind) or _is_binary(kind) else None
    found = [field.name for field in schema if _holds_bytes(field.type)]
    return found[0] if len(found) == 1 else None


def _holds_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and any(field.name == "bytes" and _is_binary(field.type) for field in kind.fields)


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
