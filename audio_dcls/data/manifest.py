"""Manifests: one CSV row a clip. The columns are described in `data_manifests/README.md`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from audio_dcls.data.stores.sources import HDF5_SUFFIXES, PARQUET_SUFFIX
from audio_dcls.data.table.clip_table import NO_ROW, Clip, ClipTable
from audio_dcls.data.table.csv_file import write_csv
from audio_dcls.data.table.manifest_rows import others, read_manifest
from audio_dcls.errors import ManifestError
from audio_dcls.labels import SEPARATOR, LabelSet

__all__ = ["Clip", "Manifest"]

INDEX_SUFFIX = ".clips"


@dataclass(frozen=True, eq=False)
class Manifest:
    """Clips, the classes they are labelled with, and where they were read.

    Args:
        clips: any sequence of clips; kept as a `ClipTable`.
        labels: what the clips' label indices mean.
        source: the file or files, for messages.
    """

    clips: Sequence[Clip]
    labels: LabelSet
    source: str

    def __post_init__(self) -> None:
        if not isinstance(self.clips, ClipTable):
            object.__setattr__(self, "clips", ClipTable.from_clips(self.clips))

    @property
    def table(self) -> ClipTable:
        """The clips as columns."""
        assert isinstance(self.clips, ClipTable)
        return self.clips

    @classmethod
    def load(cls, path: str | Path, labels: LabelSet) -> Manifest:
        """Read a manifest; no sound file is opened.

        Args:
            path: CSV file with the columns id, path, start_s, end_s, labels, split and, if wanted, sha256 and row; or a
                store of clips: an HDF5 file, a packed index (.clips), or a pack, by its folder or address.
            labels: classes the labels are looked up in.

        Raises:
            ManifestError: the file is missing, empty or not such a CSV; a column is missing; an id is empty or
                repeated; a path or split is empty; a time is not a number or negative, or start_s is not before end_s;
                a label is unknown. The message names the file, row, column and value, and what to do.
        """
        return cls(clips=_read(path, labels), labels=labels, source=str(path))

    @classmethod
    def concatenate(cls, manifests: Sequence[Manifest]) -> Manifest:
        """The clips of all manifests as one; at least one, with the same labels.

        Raises:
            ManifestError: two hold a clip of the same id, or their labels differ.
        """
        for manifest in manifests[1:]:
            if manifest.labels != manifests[0].labels:
                raise ManifestError(
                    f"'{manifest.source}' and '{manifests[0].source}' have different labels; load both with the same"
                )
        table = ClipTable.concatenate([manifest.table for manifest in manifests])
        repeated = pd.Series(table.ids.to_list(), dtype=object).duplicated().to_numpy()
        if repeated.any():
            second = int(np.argmax(repeated))
            owner = int(np.searchsorted(np.cumsum([len(m.clips) for m in manifests]), second, side="right"))
            raise ManifestError(
                f"'{manifests[owner].source}': clip '{table.ids[second]}' is listed before, there or in another file; "
                f"remove one of the rows{others(repeated)}"
            )
        return cls(clips=table, labels=manifests[0].labels, source=", ".join(m.source for m in manifests))

    def save(self, path: str | Path) -> None:
        """Write the CSV that `load` reads: labels as identifiers, relative paths made relative to its folder.

        Raises:
            ManifestError: the file cannot be written.
        """
        path = Path(path)
        table = self.table
        columns: dict[str, Sequence[object]] = {
            "id": table.ids.to_list(),
            "path": _moved_paths(table, path.parent),
            "start_s": _time_cells(table.start_s),
            "end_s": _time_cells(table.end_s),
            "labels": _label_cells(table, self.labels),
            "split": [table.split_names[code] for code in table.split_codes.tolist()],
        }
        if len(table.sha256.text):
            columns["sha256"] = table.sha256.to_list()
        if table.rows is not None:
            columns["row"] = ["" if row == NO_ROW else row for row in table.rows.tolist()]
        write_csv(path, columns)

    def split(self, *names: str) -> Manifest:
        """The clips of the named splits, in the order of the manifest.

        Raises:
            ManifestError: there is no split of that name.
        """
        known = self.splits()
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, list(known), n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(known) or 'no clips'}"
                raise ManifestError(f"'{self.source}' has no clip of split '{name}'; {hint}")
        codes = [code for code, name in enumerate(self.table.split_names) if name in names]
        return replace(self, clips=self.table.take(np.isin(self.table.split_codes, codes)))

    def class_counts(self) -> dict[str, np.ndarray]:
        """Number of clips of each class, (C,) int64, by split."""
        table, num_classes = self.table, len(self.labels)
        cells = np.repeat(table.split_codes.astype(np.int64), table.label_counts()) * num_classes + table.label_indices
        counts = np.bincount(cells, minlength=len(table.split_names) * num_classes).reshape(-1, num_classes)
        return {name: counts[table.split_names.index(name)] for name in self.splits()}

    def splits(self) -> dict[str, int]:
        """Number of clips of each split, in order of first appearance."""
        return self.table.split_sizes()


def _read(path: str | Path, labels: LabelSet) -> ClipTable:
    """The clips of any kind of manifest, told by the name."""
    suffix = Path(path).suffix.lower()
    if "://" in str(path) or suffix == PARQUET_SUFFIX or Path(path).is_dir():
        from audio_dcls.data.stores import pack_manifest

        return pack_manifest.read_manifest(path, labels)
    if suffix in HDF5_SUFFIXES:
        from audio_dcls.data.stores import hdf5_clips

        return hdf5_clips.read_manifest(path, labels)
    if suffix == INDEX_SUFFIX:
        from audio_dcls.data.table import clip_index

        return clip_index.read_index(path, labels)
    return read_manifest(Path(path), labels)


def _moved_paths(table: ClipTable, folder: Path) -> list[str]:
    """Paths as seen from another folder; absolute ones stay."""
    paths = table.paths.to_list()
    prefix = os.path.relpath(table.folder, folder)
    if prefix == os.curdir:
        return paths
    return [path if os.path.isabs(path) else os.path.normpath(os.path.join(prefix, path)) for path in paths]


def _time_cells(times_s: np.ndarray) -> list[str]:
    return ["" if time_s != time_s else repr(time_s) for time_s in times_s.tolist()]


def _label_cells(table: ClipTable, labels: LabelSet) -> list[str]:
    ids = [labels.ids[index] for index in table.label_indices.tolist()]
    starts = table.label_ends - table.label_counts()
    bounds = zip(starts.tolist(), table.label_ends.tolist(), strict=True)
    return [SEPARATOR.join(ids[start:end]) for start, end in bounds]
