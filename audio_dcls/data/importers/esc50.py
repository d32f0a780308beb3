"""Import ESC-50: 2000 clips of 5 s, each of one of 50 classes, in five folds.

The dataset ships `meta/esc50.csv` (filename, fold, target, category, esc10, src_file, take) and `audio/*.wav`
(https://github.com/karolpiczak/ESC-50). Clips cut from one recording share a fold.
"""

from __future__ import annotations

from pathlib import Path

from audio_dcls.data.importers.dataset_import import SINGLE_LABEL, DatasetImport, find_clips, require_folder
from audio_dcls.data.importers.metadata_table import MetadataTable
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.folds import fold_name
from audio_dcls.errors import ManifestError

NUM_CLASSES = 50
NUM_FOLDS = 5
COLUMNS = ("filename", "fold", "target", "category")


def import_esc50(folder: Path, *, esc10: bool = False) -> DatasetImport:
    """Build a manifest of ESC-50: classes in the order of `target`, splits `fold1` to `fold5`.

    `folder` holds `meta` and `audio`; `esc10` keeps only the ten classes of ESC-10, numbered 0 .. 9 in the same order.
    Raise a ManifestError if the folder, its list or its audio is missing, or a row breaks a rule; the message names the
    row.
    """
    require_folder(folder, "ESC-50")
    audio = folder / "audio"
    columns = (*COLUMNS, "esc10") if esc10 else COLUMNS
    whole = MetadataTable.read(folder / "meta" / "esc50.csv", columns, dataset="ESC-50")
    whole.require_unique("filename")
    table = _esc10_rows(whole) if esc10 else whole
    folds = table.integers("fold", 1, NUM_FOLDS)
    labels, targets = table.classes("target", "category", NUM_CLASSES)
    clips = [
        Clip.whole_file(Path(name).stem, audio / name, (target,), fold_name(fold))
        for name, fold, target in zip(table.columns["filename"], folds.tolist(), targets.tolist(), strict=True)
    ]
    return find_clips(
        clips,
        labels,
        [audio],
        table.path,
        left_out=[audio / name for name in whole.columns["filename"]],
        settings=("data.fold=1", SINGLE_LABEL, "frontend.clip_s=5"),
    )


def _esc10_rows(table: MetadataTable) -> MetadataTable:
    marks = table.one_of("esc10", ("True", "False"))
    if "True" not in marks:
        raise ManifestError(f"'{table.path}' marks no row as True in its column 'esc10'; take all classes")
    return table.take(table.columns["esc10"] == "True")
