"""Import one folder per class: `FOLDER/class/x.wav`, or `FOLDER/split/class/x.wav`.

Files may be at any depth below their class. If the folder has no splits, a share of each class is held out.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Literal

from audio_dcls.data.importers.dataset_import import SINGLE_LABEL, DatasetImport, require_folder
from audio_dcls.data.importers.metadata_table import label_set
from audio_dcls.data.manifest import Manifest
from audio_dcls.data.sound.audio_folder import is_hidden, sounds_below
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.folds import fold_numbers
from audio_dcls.errors import ArgumentError, ManifestError

_HELD_OUT = 0.2
_SPLIT = re.compile(r"train|training|val|valid|validation|dev|test|testing|eval|evaluation|fold\d+", re.IGNORECASE)
_TRAIN_SPLIT = re.compile("train|training", re.IGNORECASE)

Layout = Literal["auto", "classes", "splits"]


def import_class_folders(
    folder: Path, *, layout: Layout = "auto", held_out: float | None = None, seed: int = 0
) -> DatasetImport:
    """Build a manifest from one folder per class; the classes are in alphabetical order.

    `folder` holds folders of classes, or folders of splits that hold folders of classes, as `layout` says; `auto`
    treats the top folders as splits if all of them have such names (train, val, valid, test, eval, fold1, ...). For
    folders of classes, the share `held_out` of each class, at least 0 and below 1, is split `eval` and the rest is
    `train`; None is 0.2. Each split has at least one clip of a class that has two or more; `seed` and the names of the
    clips decide which clips are held out. Raise an ArgumentError if `held_out` is out of range or given for folders of
    splits, and a ManifestError if the folder is missing, holds no sound of a class, or has an ambiguous layout.
    """
    if held_out is not None and not 0 <= held_out < 1:
        raise ArgumentError(f"`held_out` (={held_out}) must be at least 0 and below 1; 0.2 holds a fifth out")
    require_folder(folder, "a folder for each class")
    sounds = sounds_below(folder)
    has_splits = layout == "splits" or (layout == "auto" and _has_splits(folder, sounds))
    if has_splits and held_out is not None:
        raise ArgumentError(f"`held_out` (={held_out}) must be left out: the folders in '{folder}' are splits already")
    depth = 2 if has_splits else 1
    of_class = [name for name in sounds if name.count("/") >= depth]
    if not of_class:
        form = "SPLIT/CLASS/x.wav" if has_splits else "CLASS/x.wav"
        raise ManifestError(
            f"'{folder}' holds no sound of a class, as {form} ({len(sounds)} sounds elsewhere in it); give the folder "
            "above those, or set the layout: classes or splits"
        )
    class_of = {name: name.split("/")[depth - 1] for name in of_class}
    classes = sorted(set(class_of.values()))
    splits = (
        {name: name.split("/")[0] for name in of_class}
        if has_splits
        else _held_out_splits(class_of, _HELD_OUT if held_out is None else held_out, seed)
    )
    clips = [Clip.whole_file(name, folder / name, (classes.index(class_of[name]),), splits[name]) for name in of_class]
    used = {name.split("/")[0] for name in of_class}
    tops = [path.name for path in folder.iterdir() if path.is_dir()]
    manifest = Manifest(clips=clips, labels=label_set(folder, classes, classes), source=str(folder))
    return DatasetImport(
        manifest=manifest,
        num_found=len(clips),
        num_missing=0,
        num_unlisted=len(sounds) - len(clips),
        left_out=tuple(sorted(name for name in tops if name not in used and not is_hidden(name))),
        settings=(*_split_settings(list(manifest.splits())), SINGLE_LABEL),
    )


def _has_splits(folder: Path, sounds: list[str]) -> bool:
    """Return whether the top folders are splits, by their names."""
    tops = sorted({name.split("/")[0] for name in sounds if "/" in name})
    named = [top for top in tops if _SPLIT.fullmatch(top)]
    if 2 <= len(named) < len(tops):
        others = [top for top in tops if top not in named]
        raise ManifestError(
            f"'{folder}' holds {named}, which look like splits, and {others[:3]}, which do not; set the layout: "
            "classes or splits, or separate them"
        )
    return bool(tops) and len(named) == len(tops)


def _held_out_splits(class_of: dict[str, str], share: float, seed: int) -> dict[str, str]:
    """Assign a share of each class to `eval` and the rest to `train`, by the digests of seed and name."""
    members: dict[str, list[str]] = defaultdict(list)
    for name, class_name in class_of.items():
        members[class_name].append(name)
    splits = dict.fromkeys(class_of, "train")
    for names in members.values():
        names.sort(key=lambda name: hashlib.blake2b(f"{seed},{name}".encode(errors="surrogateescape")).digest())
        for name in names[: _num_held_out(len(names), share)]:
            splits[name] = "eval"
    return splits


def _num_held_out(num_clips: int, share: float) -> int:
    """The number of clips of a class to hold out: the share, rounded, with at least one clip on each side if there are
    two; 0 for a share of 0.

    >>> [_num_held_out(n, 0.2) for n in (1, 2, 7, 8, 100)], _num_held_out(2, 0.9), _num_held_out(9, 0.0)
    ([0, 1, 1, 2, 20], 1, 0)
    """
    if share == 0:
        return 0
    return min(max(math.floor(share * num_clips + 0.5), 1), num_clips - 1)


def _split_settings(splits: list[str]) -> list[str]:
    """Config values that name the splits of folders; empty if they are the defaults."""
    numbers = fold_numbers(splits)
    if len(numbers) > 1:
        return [f"data.fold={numbers[0]}"]
    train = [name for name in splits if _TRAIN_SPLIT.fullmatch(name)]
    others = [name for name in splits if name not in train]
    val = [name for name in others if name.lower().startswith(("val", "dev"))] or others[:1]
    named = {"train": train, "eval": val}
    return [f"data.{side}_splits=[{','.join(names)}]" for side, names in named.items() if names and names != [side]]
