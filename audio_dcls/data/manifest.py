"""Manifests: clips and their classes. `data_manifests/README.md` describes the columns of the CSV file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_table import NO_ROW, ClipTable
from audio_dcls.data.table.csv_file import write_csv_pieces
from audio_dcls.data.table.manifest_rows import others
from audio_dcls.errors import ManifestError
from audio_dcls.labels import SEPARATOR, LabelSet
from audio_dcls.near_names import did_you_mean

__all__ = ["Clip", "Manifest"]


@dataclass(frozen=True, eq=False)
class Manifest:
    """Clips, their label set, and where they were read from.

    Args:
        clips: any sequence of clips; stored as a `ClipTable`.
        labels: the classes that the label indices of the clips refer to.
        source: the file or files, named in messages.
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
    def concatenate(cls, manifests: Sequence[Manifest]) -> Manifest:
        """One manifest with the clips of all the given ones: at least one, with the same labels.

        Raises:
            ManifestError: two clips have the same id, or the labels differ.
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
            problem = f"clip '{table.ids[second]}' is listed before, there or in another file"
            remedy = f"remove one of the rows{others(repeated)}"
            raise ManifestError(f"'{manifests[owner].source}': {problem}; {remedy}")
        return cls(clips=table, labels=manifests[0].labels, source=", ".join(m.source for m in manifests))

    def save(self, path: str | Path) -> None:
        """Write a CSV file that `load_manifest` reads: labels are identifiers, and relative paths are relative to its
        folder.

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
        if len(table.sha256.text()):
            columns["sha256"] = table.sha256.to_list()
        if table.rows is not None:
            columns["row"] = ["" if row == NO_ROW else row for row in table.rows.tolist()]
        write_csv_pieces(path, [columns])

    def split(self, *names: str) -> Manifest:
        """The clips of the named splits, in the order of the manifest.

        Raises:
            ManifestError: there is no split with that name.
        """
        known = self.splits()
        for name in names:
            if name not in known:
                hint = did_you_mean(name, known, f"it has {', '.join(known) or 'no clips'}", min_similarity=0.6)
                raise ManifestError(f"'{self.source}' has no clip of split '{name}'; {hint}")
        codes = [code for code, name in enumerate(self.table.split_names) if name in names]
        return replace(self, clips=self.table.take(np.isin(self.table.split_codes, codes)))

    def class_counts(self) -> dict[str, np.ndarray]:
        """The number of clips per class, (C,) int64, for each split."""
        table, num_classes = self.table, len(self.labels)
        cells = np.repeat(table.split_codes.astype(np.int64), table.label_counts()) * num_classes + table.label_indices
        counts = np.bincount(cells, minlength=len(table.split_names) * num_classes).reshape(-1, num_classes)
        return {name: counts[table.split_names.index(name)] for name in self.splits()}

    def splits(self) -> dict[str, int]:
        """The number of clips per split, in order of first appearance."""
        return self.table.split_sizes()


def _moved_paths(table: ClipTable, folder: Path) -> list[str]:
    """Paths relative to another folder; absolute paths stay as they are."""
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
