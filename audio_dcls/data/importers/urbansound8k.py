"""Import UrbanSound8K: 8732 clips of up to 4 s, each of one of 10 classes, in ten folds.

The dataset ships `metadata/UrbanSound8K.csv` (slice_file_name, fsID, start, end, salience, fold, classID, class) and
`audio/fold1` .. `audio/fold10` (https://urbansounddataset.weebly.com/urbansound8k.html). `start` and `end` are
positions in the original recording, which is not included: a clip is a whole file. Clips of one recording share a fold,
so scores of other splits are not comparable with published ones.
"""

from __future__ import annotations

from pathlib import Path

from audio_dcls.data.importers.dataset_import import SINGLE_LABEL, DatasetImport, find_clips, require_folder
from audio_dcls.data.importers.metadata_table import MetadataTable
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.folds import fold_name

NUM_CLASSES = 10
NUM_FOLDS = 10
COLUMNS = ("slice_file_name", "fold", "classID", "class")


def import_urbansound8k(folder: Path) -> DatasetImport:
    """Build a manifest of UrbanSound8K: classes in the order of `classID`, splits `fold1` to `fold10`.

    `folder` holds `metadata` and `audio`. Raise a ManifestError if the folder, its list or its audio is missing, or a
    row breaks a rule; the message names the row.
    """
    require_folder(folder, "UrbanSound8K")
    table = MetadataTable.read(folder / "metadata" / "UrbanSound8K.csv", COLUMNS, dataset="UrbanSound8K")
    table.require_unique("slice_file_name")
    folds = [fold_name(fold) for fold in table.integers("fold", 1, NUM_FOLDS).tolist()]
    labels, indices = table.classes("classID", "class", NUM_CLASSES)
    audio = folder / "audio"
    clips = [
        Clip.whole_file(Path(name).stem, audio / fold / name, (index,), fold)
        for name, fold, index in zip(table.columns["slice_file_name"], folds, indices.tolist(), strict=True)
    ]
    settings = ("data.fold=1", SINGLE_LABEL, "frontend.clip_s=4")
    return find_clips(clips, labels, [audio / fold for fold in sorted(set(folds))], table.path, settings=settings)
