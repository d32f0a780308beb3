"""Find the sounds of files, folders, patterns and manifests."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from audio_dcls.data.sound.audio_folder import is_sound, sounds_below
from audio_dcls.data.sound.sound_stream import FileSound, Sound
from audio_dcls.data.sources import ClipSound
from audio_dcls.data.suffixes import MANIFEST_SUFFIXES
from audio_dcls.errors import ArgumentError
from audio_dcls.labels import LabelSet

if TYPE_CHECKING:
    from audio_dcls.data import Manifest


def find_sounds(inputs: Iterable[str], labels: LabelSet) -> list[Sound]:
    """Return the sounds that names mean, in their order; a file that is named twice is returned once.

    A name is a sound file, a folder (every sound file at any depth, by name), a pattern with `*`, `?`, `[]` or `**` (of
    files, by name), or a manifest, packed index or store (its clips, with their labels among those of the model). An
    existing path is never a pattern. A single file need not exist: tagging reports it.

    Raises:
        ArgumentError: a folder or a pattern holds no sound.
        ManifestError: a manifest cannot be read.
    """
    found: dict[str, Sound] = {}
    for name in inputs:
        for sound in _sounds(name, labels):
            found.setdefault(sound.name, sound)
    return list(found.values())


def _sounds(name: str, labels: LabelSet) -> list[Sound]:
    if not name.strip():
        raise ArgumentError("a SOUND is an empty name, perhaps an unset variable; name a file, folder or manifest")
    path = Path(name)
    if path.is_dir():
        files = [path / below for below in sounds_below(path, videos=True)]
        if not files:
            raise ArgumentError(
                f"folder '{name}' holds no sound file at any depth; name another, or the files themselves"
            )
        return [FileSound(file) for file in files]
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        return [ClipSound(clip) for clip in _manifest(path, labels).clips]
    if not path.exists() and glob.has_magic(name):
        matches = sorted(Path(match) for match in glob.glob(name, recursive=True))
        files = [match for match in matches if match.is_file() and is_sound(match.name, videos=True)]
        if not files:
            raise ArgumentError(f"no sound file matches '{name}'; check the pattern")
        return [FileSound(file) for file in files]
    return [FileSound(path)]


def _manifest(path: Path, labels: LabelSet) -> Manifest:
    from audio_dcls.data import load_manifest

    return load_manifest(path, labels)
