"""The table of clips of a pack or of a folder of Parquet files; no sound is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from audio_dcls.data.stores.foreign_manifest import read_foreign_manifest
from audio_dcls.data.stores.index import PackIndex
from audio_dcls.data.stores.mirror import Mirror
from audio_dcls.data.stores.pack_file import INDEX_FILE, LABELS_FILE, PACK_FILE, PackInfo, load_pack_info
from audio_dcls.data.stores.store import Store
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.data.table.string_column import StringColumn
from audio_dcls.errors import LabelError, ManifestError
from audio_dcls.labels import LabelSet


def read_manifest(address: str | Path, labels: LabelSet) -> ClipTable:
    """List the clips of a pack, local or remote, or of Parquet files that this package did not write.

    The address is a folder, a Parquet file, or an fsspec address. The index of a remote pack is downloaded once; a
    shard is downloaded when it is read (see `mirror`). Raise a ManifestError if there is neither a complete pack nor a
    Parquet file, or a label is unknown.
    """
    store = Store(address)
    if store.size(PACK_FILE) is None:
        return read_foreign_manifest(store, labels)
    info = load_pack_info(store)
    folder = store.folder if store.is_local else _mirror_pack(store, info).folder
    index = PackIndex.open(folder / INDEX_FILE)
    if len(index) != info.num_rows:
        problem = f"'{store.address}': {INDEX_FILE} has {len(index)} rows, {PACK_FILE} lists {info.num_rows}"
        raise ManifestError(f"{problem}; run `audio-dcls pack verify {store.address}`")
    label_ends, label_indices = _labels(index, LabelSet.from_csv(folder / LABELS_FILE), labels, store.address)
    split_names = tuple(info.splits())
    sizes = np.array([shard.num_rows for shard in info.shards], dtype=np.int64)
    codes = np.array([split_names.index(shard.split) for shard in info.shards], dtype=np.int32)
    shard_of = np.repeat(np.arange(len(sizes)), sizes)
    first_rows = np.cumsum(sizes) - sizes
    return ClipTable(
        folder=folder,
        ids=StringColumn(index.batch.column("id").cast(pa.large_binary())),
        paths=StringColumn.from_strings([shard.name for shard in info.shards]).take(shard_of),
        start_s=index.numbers("start_s"),
        end_s=index.numbers("end_s"),
        label_ends=label_ends,
        label_indices=label_indices,
        split_codes=codes[shard_of],
        split_names=split_names,
        # Left blank: the digest of a row is that of its sound, not of the file `path`.
        sha256=StringColumn.blank(len(index)),
        rows=np.arange(len(index), dtype=np.int64) - first_rows[shard_of],
    )


def _mirror_pack(store: Store, info: PackInfo) -> Mirror:
    """Open the local mirror of a remote pack, with all files except the shards."""
    sizes = {shard.name: shard.num_bytes for shard in info.shards}
    mirror = Mirror.make(store.address, info.to_bytes(), sizes)
    for name in (INDEX_FILE, LABELS_FILE, PACK_FILE):
        mirror.fetch(name)
    return mirror


def _labels(index: PackIndex, packed: LabelSet, labels: LabelSet, source: str) -> tuple[np.ndarray, np.ndarray]:
    """The position after the last label of each clip (N,) int64, and the labels as indices into `labels` (L,) int32."""
    column = index.batch.column("labels")
    ends = column.offsets.to_numpy(zero_copy_only=True)[1:].astype(np.int64)
    indices = column.values.to_numpy(zero_copy_only=True)[: ends[-1] if len(ends) else 0]
    if packed.ids == labels.ids:
        return ends, indices
    wanted = np.full(len(packed), -1, dtype=np.int32)
    for label in np.unique(indices).tolist():
        try:
            wanted[label] = labels.index(packed.ids[label])
        except LabelError as error:
            problem = f"'{source}': label '{packed.ids[label]}' of the pack: {error}"
            raise ManifestError(f"{problem}; its own labels are in '{source}/{LABELS_FILE}'") from error
    return ends, wanted[indices]
