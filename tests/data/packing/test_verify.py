"""Damage to a pack is named by shard and row."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from audio_dcls.data.packing.verify import verify_pack
from audio_dcls.data.stores.codec import Codec
from audio_dcls.data.stores.index import PackIndex
from audio_dcls.data.stores.reader import read_row
from audio_dcls.errors import ArgumentError, AudioFileError, ManifestError

SHARD = "data/train-00002-of-00004.parquet"


@pytest.fixture
def copy(packs, tmp_path) -> Path:
    """A pack to damage."""
    return Path(shutil.copytree(packs(Codec.flac), tmp_path / "pack"))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("num_workers", [0, 3])
def test_a_whole_pack_has_no_faults(packs, codec, num_workers):
    counts: list[int] = []
    result = verify_pack(packs(codec), num_workers=num_workers, on_progress=counts.append)
    assert result.faults == () and sum(counts) == result.info.num_rows == 28


@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_flipped_byte_names_shard_and_row(copy, where):
    index = PackIndex.open(copy / "index.arrow")
    row = 12 + 4  # two shards of six before it
    offset, length = int(index.numbers("offset")[row]), int(index.numbers("length")[row])
    flip(copy / SHARD, offset + {"first": 0, "middle": length // 2, "last": length - 1}[where])
    (fault,) = verify_pack(copy, num_workers=2).faults
    assert (fault.file, fault.row, fault.id) == (SHARD, 4, "clip016")
    assert f"'{SHARD}', row 4 (clip 'clip016') has changed" in fault.message


def test_a_flipped_byte_before_a_sound_is_found_by_reading_too(copy):
    offset = int(PackIndex.open(copy / "index.arrow").numbers("offset")[12])
    flip(copy / SHARD, offset - 1)
    assert [fault.row for fault in verify_pack(copy).faults if fault.row is not None] == [0]
    with pytest.raises(AudioFileError, match="not at the position in the index") as caught:
        read_row(copy / SHARD, 0)
    assert caught.value.reason == "unreadable"


def test_a_flipped_byte_elsewhere_names_the_shard(copy):
    flip(copy / SHARD, (copy / SHARD).stat().st_size - 30)
    faults = verify_pack(copy).faults
    assert {fault.file for fault in faults} == {SHARD}


def missing(copy: Path) -> None:
    (copy / SHARD).unlink()


def cut(copy: Path) -> None:
    (copy / SHARD).write_bytes((copy / SHARD).read_bytes()[:4000])


def fewer_rows(copy: Path) -> None:
    table = pq.read_table(copy / SHARD)
    pq.write_table(table.slice(0, 5), copy / SHARD, compression="none", use_dictionary=False)


def other_index(copy: Path) -> None:
    flip(copy / "index.arrow", (copy / "index.arrow").stat().st_size // 2)


def no_labels(copy: Path) -> None:
    (copy / "labels.csv").unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (missing, f"'{SHARD}' is missing, with 6 rows"),
        (cut, "cannot be read as Parquet"),
        (fewer_rows, f"'{SHARD}' has 5 rows, not 6"),
        (other_index, "'index.arrow' has changed since it was written"),
        (no_labels, "'labels.csv' is missing"),
    ],
)
def test_other_damage_is_named(copy, damage: Callable[[Path], None], words):
    damage(copy)
    assert any(words in fault.message for fault in verify_pack(copy).faults)


def test_a_missing_shard_is_a_missing_clip(copy):
    missing(copy)
    with pytest.raises(AudioFileError) as caught:
        read_row(copy / SHARD, 0)
    assert caught.value.reason == "missing"
    with pytest.raises(AudioFileError, match="no row 6"):
        read_row(copy / "data" / "train-00001-of-00004.parquet", 6)


def test_mistakes(tmp_path, packs):
    with pytest.raises(ManifestError, match="does not exist"):
        verify_pack(tmp_path / "none")
    with pytest.raises(ArgumentError, match="num_workers"):
        verify_pack(packs(Codec.flac), num_workers=-1)
