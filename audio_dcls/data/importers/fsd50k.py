"""Import FSD50K: 51197 clips of 0.3 to 30 s, each of one or more of 200 classes.

The dataset ships `FSD50K.ground_truth/` with `vocabulary.csv` (index, name, mid; no header), `dev.csv` (fname, labels,
mids, split) and `eval.csv` (fname, labels, mids), and the clips in `FSD50K.dev_audio/` and `FSD50K.eval_audio/`
(https://zenodo.org/records/4060432). The labels include all their parents in the AudioSet ontology, as in the official
scores.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audio_dcls.data.importers.dataset_import import DatasetImport, find_clips, require_folder
from audio_dcls.data.importers.metadata_table import MetadataTable, label_set, spaced
from audio_dcls.data.table.clip import Clip
from audio_dcls.errors import ManifestError
from audio_dcls.labels import LabelSet

_TRUTH = "FSD50K.ground_truth"


def import_fsd50k(folder: Path) -> DatasetImport:
    """Build a manifest of FSD50K: classes as in its vocabulary, splits `train`, `val` and `eval`.

    `folder` holds `FSD50K.ground_truth`, `FSD50K.dev_audio` and `FSD50K.eval_audio`. Raise a ManifestError if a list or
    audio is missing, a row breaks a rule, or a class is not in the vocabulary.
    """
    require_folder(folder, "FSD50K")
    labels = _vocabulary(folder / _TRUTH / "vocabulary.csv")
    dev = MetadataTable.read(folder / _TRUTH / "dev.csv", ("fname", "mids", "split"), dataset="FSD50K")
    eval_ = MetadataTable.read(folder / _TRUTH / "eval.csv", ("fname", "mids"), dataset="FSD50K")
    audio = {"dev": folder / "FSD50K.dev_audio", "eval": folder / "FSD50K.eval_audio"}
    clips = [
        *_clips(dev, dev.one_of("split", ("train", "val")), audio["dev"], labels),
        *_clips(eval_, ["eval"] * len(eval_.numbers), audio["eval"], labels),
    ]
    in_dev = np.isin(eval_.columns["fname"].astype(str), dev.columns["fname"].astype(str))
    eval_.reject("fname", in_dev, f"is also in '{dev.path}'; remove it from one of them")
    return find_clips(clips, labels, audio.values(), folder / _TRUTH, settings=("data.eval_splits=[val]",))


def _vocabulary(path: Path) -> LabelSet:
    """The classes in the order of their indices."""
    table = MetadataTable.read(path, ("index", "name", "mid"), dataset="FSD50K", has_header=False)
    last = len(table.numbers) - 1
    indices = table.integers("index", 0, last)
    for column in ("index", "name", "mid"):
        table.require_unique(column)
    order = np.argsort(indices)
    return label_set(path, table.columns["mid"][order].tolist(), list(map(spaced, table.columns["name"][order])))


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
                "vocabulary.csv next to it does not list; fix one of them, or use the original files of FSD50K"
            )
        indices = tuple(index_of[mid] for mid in mids)
        clips.append(Clip.whole_file(name, audio / f"{name}.wav", indices, split))
    return clips
