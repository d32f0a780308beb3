"""A table of clips from Parquet files that hold sounds and labels but are not packs of this package."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audio_dcls.data.stores.foreign_file import SOUND_COLUMN, sound_column
from audio_dcls.data.stores.mirror import Mirror
from audio_dcls.data.stores.store import Store
from audio_dcls.data.suffixes import PARQUET_SUFFIX
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.data.table.manifest_rows import LabelColumn, others
from audio_dcls.errors import ManifestError
from audio_dcls.labels import SEPARATOR, LabelSet

_ID_COLUMNS = ("id", "video_id", "clip_id", "ytid", "audio_id", "filename", "file_name")
_LABEL_COLUMNS = ("labels", "label", "human_labels", "category", "classes", "class", "tags")
_NUMBERED = re.compile(r"(.+?)[-_]\d+[-_]of[-_]\d+(?:-[0-9a-f]+)?")


def read_foreign_manifest(
    store: Store, labels: LabelSet, *, id_column: str | None = None, labels_column: str | None = None
) -> ClipTable:
    """Read the clips of one Parquet file or of a folder of them.

    The column of ids is by default the first of `_ID_COLUMNS` that exists, or else ids are made of file and row. The
    column of labels is by default the first of `_LABEL_COLUMNS` that exists; each cell is a label or a list of them, as
    text or as numbers that `datasets` names; they are looked up in `labels` by identifier or name.

    Raise a ManifestError if there is no Parquet file, a file has no sounds or no labels, a label is unknown, or two
    clips have the same id.
    """
    store, names = _files(store)
    folder = store.folder if store.is_local else _mirror(store, names).folder
    label_column = LabelColumn(Path(store.address), labels)
    tables: list[ClipTable] = []
    for name in names:
        table, labels_name = _text_columns(store, name, id_column, labels_column)
        label_column.source = Path(f"{store.address}/{name}")
        parsed = label_column.parse(np.arange(len(table)), _label_cells(table, labels_name))
        tables.append(ClipTable.from_store(folder, name, _ids(table, name), parsed, split_of(name)))
    clips = ClipTable.concatenate(tables)
    _check_unique(clips.ids.to_list(), store.address)
    return clips


def split_of(name: str) -> str:
    """The split that the name of a file implies.

    >>> [split_of(name) for name in ("data/train-00003-of-00012.parquet", "data/bal_train04.parquet",
    ...                              "default/eval/0000.parquet", "0000.parquet")]
    ['train', 'bal_train', 'eval', 'train']
    """
    path = PurePosixPath(name)
    numbered = _NUMBERED.fullmatch(path.stem)
    if numbered:
        return numbered[1]
    return path.stem.rstrip("0123456789").rstrip("-_") or path.parent.name or "train"


def _files(store: Store) -> tuple[Store, list[str]]:
    """The folder, and the names of its Parquet files."""
    folder, _, last = store.address.rpartition("/")
    if last.endswith(PARQUET_SUFFIX):
        return Store(folder or "."), [last]
    names = [name for name in store.names() if name.endswith(PARQUET_SUFFIX)]
    if not names:
        raise ManifestError(
            f"'{store.address}' holds neither a pack nor Parquet files; give a manifest CSV, a pack, an HDF5 file, or "
            "a folder of Parquet files with sounds"
        )
    return store, names


def _mirror(store: Store, names: Sequence[str]) -> Mirror:
    sizes = {name: store.size(name) or 0 for name in names}
    return Mirror.make(store.address, json.dumps(sizes).encode(), sizes)


def _text_columns(store: Store, name: str, id_column: str | None, labels_column: str | None) -> tuple[pa.Table, str]:
    """Read the columns `id`, if it exists, and `labels`, without the sounds, and the original name of the latter."""
    source = f"{store.address}/{name}"
    try:
        with store.opened(name) as stream, pq.ParquetFile(stream) as file:
            schema = file.schema_arrow
            if sound_column(schema) is None:
                raise ManifestError(
                    f"'{source}' has no column of sounds: `{SOUND_COLUMN}`, or one that holds their bytes, must be "
                    f"among {schema.names}; give the files that hold the sounds themselves"
                )
            id_name = _choose(schema, id_column, _ID_COLUMNS, "--id-column", source)
            labels_name = _choose(schema, labels_column, _LABEL_COLUMNS, "--labels-column", source)
            if labels_name is None:
                problem = (
                    f"'{source}' has no column of labels, such as {', '.join(_LABEL_COLUMNS)}, among {schema.names}"
                )
                remedy = "pack it with `audio-dcls pack … --labels-column NAME`, and use the pack"
                raise ManifestError(f"{problem}; {remedy}")
            table = file.read(columns=[column for column in (id_name, labels_name) if column])
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"'{source}' is not a readable Parquet file ({error}); fetch it again") from error
    names = {id_name: "id", labels_name: "labels"}
    renamed = table.rename_columns([names[column] for column in table.schema.names])
    return renamed.replace_schema_metadata(table.schema.metadata), labels_name  # the metadata hold the names of classes


def _choose(schema: pa.Schema, column: str | None, known: Sequence[str], option: str, source: str) -> str | None:
    if column is None:
        return next((name for name in known if name in schema.names), None)
    if column not in schema.names:
        raise ManifestError(f"'{source}' has no column '{column}' ({option}); it has {', '.join(schema.names)}")
    return column


def _ids(table: pa.Table, name: str) -> list[str]:
    if "id" in table.schema.names:
        return [str(value) for value in table.column("id").to_pylist()]
    return [f"{PurePosixPath(name).stem}-{row}" for row in range(len(table))]


def _label_cells(table: pa.Table, labels_name: str) -> np.ndarray:
    """The labels of every row as manifest cells, (n,) text."""
    class_names = _class_names(table.schema, labels_name)

    def named(value: Any) -> str:
        is_number = isinstance(value, int) and 0 <= value < len(class_names)
        return class_names[value] if is_number else str(value)

    cells = []
    for value in table.column("labels").to_pylist():
        values = value if isinstance(value, list) else [value]
        cells.append(SEPARATOR.join(named(item) for item in values if item is not None))
    return np.array(cells, dtype=object)


def _class_names(schema: pa.Schema, labels_name: str) -> list[str]:
    """Names of the classes that `datasets` stores as numbers; empty if labels are text."""
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = metadata.get("info", {}).get("features", {})
    feature = features.get(labels_name, {})
    if isinstance(feature, list):
        feature = feature[0]
    return list(feature.get("feature", feature).get("names", ()))


def _check_unique(ids: list[str], source: str) -> None:
    repeated = pd.Series(ids, dtype=object).duplicated().to_numpy()
    if repeated.any():
        second = ids[int(np.argmax(repeated))]
        problem = f"'{source}': the clip '{second}' occurs twice{others(repeated)}"
        remedy = "name another column by `audio-dcls pack … --id-column NAME`, or give one split at a time"
        raise ManifestError(f"{problem}; {remedy}")
