"""Read a manifest of any kind: a CSV file, an index, an HDF5 file, a pack or a folder of Parquet files."""

from __future__ import annotations

from pathlib import Path

from audio_dcls.data.manifest import Manifest
from audio_dcls.data.stores import hdf5_clips, pack_manifest
from audio_dcls.data.suffixes import HDF5_SUFFIXES, INDEX_SUFFIX, PARQUET_SUFFIX
from audio_dcls.data.table.clip_index import read_index
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.data.table.manifest_rows import read_manifest
from audio_dcls.labels import LabelSet


def load_manifest(path: str | Path, labels: LabelSet) -> Manifest:
    """Read a manifest; no sound file is opened.

    Args:
        path: a CSV file with the columns id, path, start_s, end_s, labels, split and optionally sha256 and row; or a
            store of clips: an HDF5 file, an index (.clips), or a pack, by its folder or address.
        labels: the classes in which the labels are looked up.

    Raises:
        ManifestError: the file is missing, empty or not such a CSV; a column is missing; an id is empty or
            repeated; a path or split is empty; a time is not a number or negative, or start_s is not before end_s;
            a label is unknown. The message names the file, row, column and value, and what to do.
    """
    return Manifest(clips=_read(path, labels), labels=labels, source=str(path))


def _read(path: str | Path, labels: LabelSet) -> ClipTable:
    suffix = Path(path).suffix.lower()
    if "://" in str(path) or suffix == PARQUET_SUFFIX or Path(path).is_dir():
        return pack_manifest.read_manifest(path, labels)
    if suffix in HDF5_SUFFIXES:
        return hdf5_clips.read_manifest(path, labels)
    if suffix == INDEX_SUFFIX:
        return read_index(path, labels)
    return read_manifest(Path(path), labels)
