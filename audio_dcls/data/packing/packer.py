"""Pack the clips of a manifest, one complete shard after the other, so that an interrupted packer can resume."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import filelock

from audio_dcls.data.manifest import Manifest
from audio_dcls.data.packing.clip_encoder import PackedClip, encode_clip
from audio_dcls.data.packing.plan import PackSettings, Shard, describe_plan, file_stem, plan_shards
from audio_dcls.data.packing.shard_writer import Row, write_shard
from audio_dcls.data.parallel import map_in_batches
from audio_dcls.data.stores import pack_file
from audio_dcls.data.stores.codec import Codec, stored_rate_hz
from audio_dcls.data.stores.index import LeftOut, ShardRecord, index_bytes, read_record, record_name
from audio_dcls.data.stores.pack_file import PackInfo, PackPlan, ShardInfo, parse_pack_info
from audio_dcls.data.stores.store import Store
from audio_dcls.data.table.csv_file import write_csv_pieces
from audio_dcls.errors import ArgumentError, ManifestError
from audio_dcls.files import file_sha256
from audio_dcls.labels import LabelSet

_LOCK_FILE = ".pack.lock"
_SOUNDS = {
    Codec.flac: "16-bit FLAC, mono, {rate} Hz",
    Codec.pcm16: "16-bit WAV, mono, {rate} Hz",
    Codec.opus: "Ogg Opus, mono, {rate} Hz",
    Codec.source: "the original files, unchanged; `start_s` and `end_s` are the times of the clip in them",
}
Progress = Callable[[int], None]


@dataclass(frozen=True)
class PackResult:
    """The result of packing."""

    info: PackInfo
    left_out: tuple[LeftOut, ...]
    """Every clip that the pack lacks, from this run or an earlier one."""
    num_shards_kept: int
    """Number of shards that already existed."""


def pack(
    manifest: Manifest,
    out: str | Path,
    settings: PackSettings | None = None,
    *,
    num_workers: int = 0,
    retry_left_out: bool = False,
    on_progress: Progress | None = None,
) -> PackResult:
    """Write the clips of a manifest as a pack, or resume an unfinished one.

    Complete shards are kept, unless they lack clips and `retry_left_out` is true; the others are written. Clips that
    cannot be used are left out and listed in `left_out.csv`. The bytes of the result depend neither on interruptions
    nor on the number of workers: threads that read and encode; 0 works in the calling thread.

    `out` is a folder or an address: new, empty, or a pack of the same manifest and settings. `on_progress` is called
    with the number of clips done since the last call. Raise an ArgumentError if a number is out of range or the
    manifest has no clips, and a ManifestError if `out` holds another pack or other files, is being packed by another
    process, or cannot be written.
    """
    settings = settings or PackSettings()
    if num_workers < 0:
        raise ArgumentError(f"`num_workers` (={num_workers}) must be at least 0; 0 packs in the calling thread")
    if not len(manifest.clips):
        raise ArgumentError(f"`manifest` ('{manifest.source}') has no clips; give one with some")
    shards = plan_shards(manifest.table, settings.rows_per_shard)
    plan = describe_plan(manifest, settings)
    store = Store(out)
    with _alone(store):
        _begin(store, plan)
        packer = _Packer(store, manifest, settings, plan, num_workers, on_progress or (lambda count: None))
        for shard in shards:
            packer.add(shard, retry_left_out=retry_left_out)
        info = _finish(store, plan, packer.records, manifest.labels)
    left_out = tuple(clip for record in packer.records for clip in record.left_out)
    return PackResult(info, left_out, packer.num_kept)


@dataclass(eq=False)
class _Packer:
    """Writes shards one after the other, and collects their records."""

    store: Store
    manifest: Manifest
    settings: PackSettings
    plan: PackPlan
    num_workers: int
    on_progress: Progress
    records: list[ShardRecord] = field(default_factory=list)
    num_kept: int = 0
    is_open: bool = False

    def add(self, shard: Shard, *, retry_left_out: bool) -> None:
        """Write a shard unless it exists."""
        record = self._found(shard)
        if record is None or (retry_left_out and record.left_out):
            record = self._write(shard)
        else:
            self.num_kept += 1
            self.on_progress(len(shard.places))
        self.records.append(record)

    def _found(self, shard: Shard) -> ShardRecord | None:
        """Return the record of a complete shard; only `pack verify` reads the shard itself."""
        name = record_name(shard.name)
        if self.store.size(name) is None:
            return None
        record = read_record(self.store.read(name), f"{self.store.address}/{name}")
        is_whole = record.plan_digest == self.plan.digest() and self.store.size(shard.name) == record.info.num_bytes
        return record if is_whole else None

    def _write(self, shard: Shard) -> ShardRecord:
        if not self.is_open:
            # From here on, nobody may mistake the pack for a complete one.
            self.store.write(pack_file.PACK_FILE, PackInfo(plan=self.plan).to_bytes())
            self.is_open = True
        self.store.remove(record_name(shard.name))
        left_out: list[LeftOut] = []
        with self.store.writing(shard.name) as path:
            rows = write_shard(path, self._rows(shard, left_out), self.manifest.labels, self.settings)
            info = ShardInfo(
                name=shard.name,
                split=shard.split,
                num_rows=len(rows),
                num_left_out=len(left_out),
                num_bytes=path.stat().st_size,
                sha256=file_sha256(path),
            )
        record = ShardRecord(info, rows, tuple(left_out), self.plan.digest())
        # After the shard, because the record marks the shard as complete.
        self.store.write(record_name(shard.name), record.to_bytes())
        return record

    def _rows(self, shard: Shard, left_out: list[LeftOut]) -> Iterator[Row]:
        places = iter(shard.places.tolist())
        encode = functools.partial(encode_clip, settings=self.settings)
        for batch in map_in_batches(encode, self.manifest.table.take(shard.places), self.num_workers):
            for outcome, place in zip(batch, places, strict=False):  # the batch first, because it is shorter
                if isinstance(outcome, PackedClip):
                    yield place, outcome
                else:
                    left_out.append(outcome)
            self.on_progress(len(batch))


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Lock the pack against other packers on this machine or a shared disk."""
    if not store.is_local:
        yield
        return
    store.folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(store.folder / _LOCK_FILE, timeout=0):
            yield
    except filelock.Timeout as error:
        raise ManifestError(
            f"'{store.address}' is being packed by another process; wait for it, or name another folder"
        ) from error


def _begin(store: Store, plan: PackPlan) -> None:
    """Check that the folder is new or holds this pack, and mark it as such."""
    if store.size(pack_file.PACK_FILE) is None:
        names = store.names()
        if names:
            raise ManifestError(
                f"'{store.address}' holds other files than a pack, such as '{names[0]}', and is not changed; name a "
                "new or an empty folder"
            )
        store.write(pack_file.PACK_FILE, PackInfo(plan=plan).to_bytes())
        return
    found = parse_pack_info(store.read(pack_file.PACK_FILE), f"{store.address}/{pack_file.PACK_FILE}")
    differences = found.plan.differences(plan)
    if differences:
        raise ManifestError(
            f"'{store.address}' holds another pack: {'; '.join(differences)}. Name another folder, delete this one, or "
            "use the settings it was begun with"
        )


def _finish(store: Store, plan: PackPlan, records: list[ShardRecord], labels: LabelSet) -> PackInfo:
    """Write the files that belong to all shards, `pack.json` last."""
    shards = tuple(record.info for record in records)
    with store.writing(pack_file.INDEX_FILE) as path:
        path.write_bytes(index_bytes(records))
        index_sha256 = file_sha256(path)
    info = PackInfo(plan=plan, is_complete=True, shards=shards, index_sha256=index_sha256)
    left_out = [clip for record in records for clip in record.left_out]
    with store.writing(pack_file.LABELS_FILE) as path:
        labels.to_csv(path)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / pack_file.LEFT_OUT_FILE
        write_csv_pieces(table, [{name: [clip[at] for clip in left_out] for at, name in enumerate(LeftOut._fields)}])
        store.write(pack_file.LEFT_OUT_FILE, table.read_bytes())
    store.write(pack_file.CARD_FILE, _dataset_card(info).encode())
    store.write(pack_file.PACK_FILE, info.to_bytes())
    return info


def _dataset_card(info: PackInfo) -> str:
    """The README.md of a complete pack, which the Hugging Face hub and `datasets.load_dataset` read."""
    splits = {split: num_rows for split, num_rows in info.splits().items() if num_rows}
    files = [
        line
        for split in splits
        for line in (f"  - split: {file_stem(split)}", f"    path: {json.dumps(f'data/{file_stem(split)}-*.parquet')}")
    ]
    plan = info.plan
    sounds = _SOUNDS[plan.codec].format(rate=stored_rate_hz(plan.codec, plan.sample_rate_hz))
    lines = [
        "---",
        "task_categories:",
        "- audio-classification",
        "configs:",
        "- config_name: default",
        "  data_files:",
        *files,
        "---",
        "",
        "# Labelled sounds, packed by audio-dcls",
        "",
        f"{info.num_rows} clips; {info.num_left_out} of the manifest could not be read (`left_out.csv`).",
        "",
        "| split | clips |",
        "|---|---|",
        *(f"| {split} | {num_rows} |" for split, num_rows in info.splits().items()),
        "",
        f"Sounds: {sounds}. Columns: `id`, `audio`, `labels` (identifiers, named in `labels.csv`), `sha256` of the",
        "sound's bytes. `pack.json` and `index.arrow` give the position of each sound in its file.",
        "",
        "The licence is that of the sounds.",
        "",
    ]
    return "\n".join(lines)
