"""Verify that a pack has not changed: every byte of every shard is read and compared."""

from __future__ import annotations

import functools
import hashlib
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from audio_dcls.data.parallel import map_in_batches
from audio_dcls.data.stores.index import LENGTH_BYTES, PackIndex
from audio_dcls.data.stores.pack_file import INDEX_FILE, LABELS_FILE, PackInfo, ShardInfo, load_pack_info
from audio_dcls.data.stores.store import Store
from audio_dcls.errors import ArgumentError
from audio_dcls.files import file_sha256


class PackFault(NamedTuple):
    """A difference between a pack and its index."""

    file: str
    row: int | None
    """Row of the shard, counted from 0; None for the whole file."""
    id: str | None
    message: str
    """One sentence that names file, row and clip."""


@dataclass(frozen=True)
class VerifyResult:
    """The result of `verify_pack`."""

    info: PackInfo
    faults: tuple[PackFault, ...]


def verify_pack(
    address: str | Path, *, num_workers: int = 0, on_progress: Callable[[int], None] | None = None
) -> VerifyResult:
    """Read a whole pack, and check the digests of all shards and sounds, the number of rows, the ids, and the index.

    Each of `num_workers` threads reads one shard, and stores it on disk if the pack is remote; 0 reads in the calling
    thread. `on_progress` is called with the number of rows read since the last call. Raise an ArgumentError if
    `num_workers` is negative, and a ManifestError if there is no complete pack.
    """
    if num_workers < 0:
        raise ArgumentError(f"`num_workers` (={num_workers}) must be at least 0; 0 reads in the calling thread")
    store = Store(address)
    info = load_pack_info(store)
    faults: list[PackFault] = []
    with tempfile.TemporaryDirectory() as folder:
        if store.size(LABELS_FILE) is None:
            faults.append(_of_file(LABELS_FILE, "is missing; pack again"))
        index = _checked_index(store, info, Path(folder), faults)
        if index is not None:
            firsts = itertools.accumulate((shard.num_rows for shard in info.shards), initial=0)
            check = functools.partial(_check_shard, store=store, index=index)
            jobs = zip(info.shards, firsts, strict=False)  # one more start than there are shards
            batches = map_in_batches(check, jobs, num_workers, batch_items=1)
            for shard, (found,) in zip(info.shards, batches, strict=True):
                faults += found
                if on_progress is not None:
                    on_progress(shard.num_rows)
    return VerifyResult(info, tuple(faults))


def _checked_index(store: Store, info: PackInfo, folder: Path, faults: list[PackFault]) -> PackIndex | None:
    """Return the index, or None if it is missing or damaged."""
    if store.size(INDEX_FILE) is None:
        faults.append(_of_file(INDEX_FILE, "is missing; pack again"))
        return None
    path = _local(store, INDEX_FILE, folder)
    if file_sha256(path) != info.index_sha256:
        faults.append(_of_file(INDEX_FILE, "has changed since it was written: its SHA-256 differs; pack again"))
        return None
    return PackIndex.open(path)


def _check_shard(job: tuple[ShardInfo, int], *, store: Store, index: PackIndex) -> list[PackFault]:
    """Check a shard, whose rows begin at a position of the index."""
    shard, first = job
    size = store.size(shard.name)
    if size is None:
        return [_of_file(shard.name, f"is missing, with {shard.num_rows} rows; pack again to write it")]
    with tempfile.TemporaryDirectory() as folder:
        path = _local(store, shard.name, Path(folder))
        faults = [] if size == shard.num_bytes else [_of_file(shard.name, f"has {size} bytes, not {shard.num_bytes}")]
        faults += _check_sounds(path, shard, index, first)
        faults += _check_rows(path, shard, index, first)
        if not faults and file_sha256(path) != shard.sha256:
            faults.append(_of_file(shard.name, "has changed, but not in its sounds and ids"))
    return faults


def _check_sounds(path: Path, shard: ShardInfo, index: PackIndex, first: int) -> list[PackFault]:
    """Check the length and the digest of every sound in the index."""
    ids, digests = index.batch.column("id"), index.digests()
    offsets, lengths = index.numbers("offset"), index.numbers("length")
    faults = []
    with path.open("rb") as stream:
        for row in range(shard.num_rows):
            at = first + row
            length = int(lengths[at])
            stream.seek(int(offsets[at]) - LENGTH_BYTES)
            content = stream.read(length + LENGTH_BYTES)
            sound = memoryview(content)[LENGTH_BYTES:]
            if len(sound) != length:
                message = f"ends before its {length} bytes"
            elif int.from_bytes(content[:LENGTH_BYTES], "little") != length:
                message = f"is no longer {length} bytes long"
            elif hashlib.sha256(sound).digest() != digests[at].tobytes():
                message = "has changed: its SHA-256 is not the one it was packed with"
            else:
                continue
            faults.append(_of_row(shard, row, ids[at].as_py(), message))
    return faults


def _check_rows(path: Path, shard: ShardInfo, index: PackIndex, first: int) -> list[PackFault]:
    """Compare the columns of the Parquet file with the index."""
    try:
        table = pq.read_table(path, columns=["id", "sha256"], use_threads=False)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        return [_of_file(shard.name, f"cannot be read as Parquet ({' '.join(str(error).split())})")]
    if len(table) != shard.num_rows:
        return [_of_file(shard.name, f"has {len(table)} rows, not {shard.num_rows}")]
    ids = index.batch.column("id").slice(first, shard.num_rows).to_pylist()
    digests = [digest.as_py().hex() for digest in index.batch.column("sha256").slice(first, shard.num_rows)]
    found = zip(table.column("id").to_pylist(), table.column("sha256").to_pylist(), strict=True)
    return [
        _of_row(shard, row, expected[0], f"is stored as clip '{name}' with digest {digest[:12]}...")
        for row, ((name, digest), expected) in enumerate(zip(found, zip(ids, digests, strict=True), strict=True))
        if (name, digest) != expected
    ]


def _of_file(name: str, message: str) -> PackFault:
    return PackFault(name, None, None, f"'{name}' {message}")


def _of_row(shard: ShardInfo, row: int, id_: str, message: str) -> PackFault:
    return PackFault(shard.name, row, id_, f"'{shard.name}', row {row} (clip '{id_}') {message}")


def _local(store: Store, name: str, folder: Path) -> Path:
    """The local path of a file: in the pack, or of a copy in `folder`."""
    if store.is_local:
        return store.folder / name
    path = folder / Path(name).name
    store.fetch(name, path)
    return path
