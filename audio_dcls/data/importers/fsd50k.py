"""FSD50K -> a manifest: 51197 clips of 0.3 to 30 s, one or more of 200 classes each.

The dataset ships `FSD50K.ground_truth/` with `vocabulary.csv` (index, name, mid; no header), `dev.csv` (fname, labels,
mids, split) and `eval.csv` (fname, labels, mids), and the clips in `FSD50K.dev_audio/` and `FSD50K.eval_audio/`
(https://zenodo.org/records/4060432). Labels are given with all their parents in the AudioSet ontology, as scored.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audio_dcls.data.importers.dataset_import import DatasetImport, find_clips, require_folder
from audio_dcls.data.importers.metadata_table import MetadataTable, label_set, spaced
from audio_dcls.data.table.clip import Clip
from audio_dcls.errors import ManifestError
from audio_dcls.labels import LabelSet

TRUTH = "FSD50K.ground_truth"
DEV_SPLITS = ("train", "val")
EVAL_SPLIT = "eval"


def import_fsd50k(folder: Path) -> DatasetImport:
    """Build a manifest of FSD50K: classes as in its vocabulary, splits `train`, `val` and `eval`.

    Args:
        folder: holds `FSD50K.ground_truth`, `FSD50K.dev_audio` and `FSD50K.eval_audio`.

    Raises:
        ManifestError: the folder, a list or audio is missing, a row is wrong, or a class is not in the vocabulary.
    """
    require_folder(folder, "FSD50K")
    labels = _vocabulary(folder / TRUTH / "vocabulary.csv")
    dev = MetadataTable.read(folder / TRUTH / "dev.csv", ("fname", "mids", "split"), dataset="FSD50K")
    eval_ = MetadataTable.read(folder / TRUTH / "eval.csv", ("fname", "mids"), dataset="FSD50K")
    audio = {"dev": folder / "FSD50K.dev_audio", "eval": folder / "FSD50K.eval_audio"}
    clips = [
        *_clips(dev, dev.one_of("split", DEV_SPLITS), audio["dev"], labels),
        *_clips(eval_, [EVAL_SPLIT] * len(eval_.numbers), audio["eval"], labels),
    ]
    in_dev = np.isin(eval_.columns["fname"].astype(str), dev.columns["fname"].astype(str))
    eval_.reject("fname", in_dev, f"is in '{dev.path}' too; remove it from one of them")
    return find_clips(clips, labels, audio.values(), folder / TRUTH, settings=("data.eval_splits=[val]",))


def _vocabulary(path: Path) -> LabelSet:
    """The classes in the order of their indices."""
    table = MetadataTable.read(path, ("index", "name", "mid"), dataset="FSD50K", has_header=False)
    last = len(table.numbers) - 1
    indices = table.integers("index", 0, last)
    for column in ("index", "name", "mid"):
        table.require_unique(column)
    order = np.argsort(indices)
    names = [spaced(name) for name in table.columns["name"][order]]
    return label_set(path, table.columns["mid"][order].tolist(), names)


def _clips(table: MetadataTable, splits: list[str], audio: Path, labels: LabelSet) -> list[Clip]:
    table.require_unique("fname")
    index_of = {mid: index for index, mid in enumerate(labels.ids)}
    clips = []
    for row, (name, cell, split) in enumerate(zip(table.columns["fname"], table.columns["mids"], splits, strict=True)):
        mids = dict.fromkeys(mid.strip() for mid in cell.split(","))
        unknown = [mid for mid in mids if mid not in index_of]
        if unknown:
            raise ManifestError(
                f"'{table.path}', row {table.numbers[row]}: column 'mids' (={cell!r}) holds {unknown[0]!r}, which "
                "vocabulary.csv beside it does not list; mend one of them, or take the files FSD50K ships"
            )
        indices = tuple(index_of[mid] for mid in mids)
        clips.append(Clip.whole_file(name, audio / f"{name}.wav", indices, split))
    return clips
