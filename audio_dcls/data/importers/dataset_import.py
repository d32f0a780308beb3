"""The result of an importer: a manifest, and counts of the files that were found."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from audio_dcls.data.manifest import Manifest
from audio_dcls.data.sound.audio_folder import is_sound
from audio_dcls.data.table.clip import Clip
from audio_dcls.errors import ManifestError
from audio_dcls.labels import LabelSet

SINGLE_LABEL = "loss.name=cross_entropy"
"""The setting for datasets with one class per clip."""


@dataclass(frozen=True)
class DatasetImport:
    """A manifest of the clips of a dataset, and counts of the files that were found."""

    manifest: Manifest
    num_found: int
    """Number of clips with a file."""
    num_missing: int
    """Number of clips without a file; their rows name the file that was searched for."""
    num_unlisted: int
    """Number of audio files that belong to no clip."""
    left_out: tuple[str, ...] = ()
    """If classes are folders: the folders that hold no sound of a class."""
    settings: tuple[str, ...] = ()
    """Config values that suit the dataset, such as `data.fold=1`, for `audio-dcls train --set`."""


def find_clips(
    clips: Sequence[Clip],
    labels: LabelSet,
    folders: Iterable[Path],
    listed_in: Path,
    *,
    left_out: Iterable[Path] = (),
    settings: tuple[str, ...] = (),
) -> DatasetImport:
    """Search for the file of each clip; a clip without a file keeps its row, and `manifest check` reports it.

    There is at least one clip, each in one of the audio folders; no folder is inside another one. Messages name
    `listed_in`, the file that lists the clips; `left_out` are other files that it lists and that are not wanted. Raise
    a ManifestError if a folder does not exist, or no clip has a file.
    """
    folders = list(folders)
    on_disk = {path for folder in folders for path in _sounds_in(folder, listed_in)}
    listed = {str(clip.path) for clip in clips} | {str(path) for path in left_out}
    num_found = sum(str(clip.path) in on_disk for clip in clips)
    if not num_found:
        places = " or ".join(f"'{folder}'" for folder in folders[:2]) + (" or the others" if len(folders) > 2 else "")
        raise ManifestError(
            f"no clip of the {len(clips)} that '{listed_in}' lists, such as '{clips[0].path.name}', is in {places}; "
            "unpack the dataset's audio there"
        )
    return DatasetImport(
        manifest=Manifest(clips=clips, labels=labels, source=str(listed_in)),
        num_found=num_found,
        num_missing=len(clips) - num_found,
        num_unlisted=len(on_disk - listed),
        settings=settings,
    )


def require_folder(folder: Path, dataset: str) -> None:
    """Raise a ManifestError if the folder of a dataset does not exist or is not a folder."""
    if not folder.is_dir():
        raise ManifestError(
            f"folder '{folder}' does not exist or is not a folder; give the folder that holds {dataset}"
        )


def _sounds_in(folder: Path, listed_in: Path) -> list[str]:
    """The paths of the audio files directly in a folder."""
    try:
        with os.scandir(folder) as entries:
            return [str(folder / entry.name) for entry in entries if is_sound(entry.name)]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ManifestError(
            f"audio folder '{folder}' does not exist or is not a folder, though '{listed_in}' lists clips in it; "
            "unpack the dataset's audio there"
        ) from error
