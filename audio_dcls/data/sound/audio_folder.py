"""Find the audio files below folders by the name of a recording."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from audio_dcls.errors import ManifestError

_DECODED = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64")
"""Extensions that libsndfile reads."""
_VIDEO = (".m4a", ".aac", ".mp4", ".webm", ".mkv", ".mka", ".mov")
"""Extensions that need the extra `[video]`; files of the first kind are preferred. They are found without the extra
too, so that a check names the extra instead of reporting `missing`."""

_TIME = r"\d+(?:\.\d+)?"
_START = re.compile(rf"(.+)_({_TIME})")
_START_END = re.compile(rf"(.+)_({_TIME})_({_TIME})")
_MS_TOLERANCE = 1.0


class FoundFile(NamedTuple):
    """A file of the requested name."""

    path: str
    is_segment: bool
    """True if its name holds the segment's times."""
    num_files: int
    """Number of files that match; this is the first."""


class AudioFolder:
    """Audio files, looked up by name."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.num_files = len(paths)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_base: dict[str, list[str]] = defaultdict(list)
        for path in sorted(paths, key=lambda path: (path.lower().endswith(_VIDEO), path)):
            stem = os.path.splitext(os.path.basename(path))[0]
            self._by_stem[stem].append(path)
            for pattern in (_START, _START_END):
                if match := pattern.fullmatch(stem):
                    self._by_base[match[1]].append(path)

    @classmethod
    def scan(cls, folders: Sequence[Path]) -> AudioFolder:
        """Collect the audio files below folders, at any depth; links to folders are followed.

        Raise a ManifestError if a folder does not exist.
        """
        for folder in folders:
            if not folder.is_dir():
                raise ManifestError(f"audio folder '{folder}' does not exist or is not a folder; check the path")
        return cls([path for folder in folders for path in _audio_files(folder)])

    def find(self, name: str, start_s: float, end_s: float) -> FoundFile | None:
        """Find the file of a segment of a recording.

        `name_start_end` is preferred to `name_start`, and that to `name`; times are in seconds or in milliseconds, and
        the name may begin with an extra `Y`.

        >>> folder = AudioFolder(["a/Yxy.wav", "b/xy_30000_40000.flac", "xy_10_20.wav"])
        >>> folder.find("xy", 30.0, 40.0).path, folder.find("xy", 0.0, 10.0).path, folder.find("z", 0.0, 10.0)
        ('b/xy_30000_40000.flac', 'a/Yxy.wav', None)
        """
        for pattern in (_START_END, _START):
            paths = [path for base in (name, f"Y{name}") for path in self._by_base.get(base, ())]
            cut = [path for path in dict.fromkeys(paths) if _has_times(pattern, name, path, start_s, end_s)]
            if cut:
                return FoundFile(cut[0], True, len(cut))
        whole = [path for stem in (name, f"Y{name}") for path in self._by_stem.get(stem, ())]
        return FoundFile(whole[0], False, len(whole)) if whole else None


def _has_times(pattern: re.Pattern[str], name: str, path: str, start_s: float, end_s: float) -> bool:
    """True if a file's name holds the recording's id and the segment's times, in seconds or milliseconds."""
    match = pattern.fullmatch(os.path.splitext(os.path.basename(path))[0])
    if match is None or match[1] not in (name, f"Y{name}"):
        return False
    wanted_ms = (1000 * start_s, 1000 * end_s)
    written = [float(time) for time in match.groups()[1:]]
    return any(
        all(abs(scale * time - wanted) < _MS_TOLERANCE for time, wanted in zip(written, wanted_ms, strict=False))
        for scale in (1, 1000)
    )


def _audio_files(folder: Path) -> Iterator[str]:
    seen: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        yield from (os.path.join(parent, file) for file in files if file.lower().endswith(_DECODED + _VIDEO))


def sounds_below(folder: Path, *, videos: bool = False) -> list[str]:
    """Audio files at any depth, in order, relative to the folder, with `/` between names, without hidden files.

    Archives made on macOS hold a hidden `._x.wav` for each `x.wav`, and a folder `__MACOSX` of such files. `videos`
    lists files that need the extra `[video]` too.
    """
    found: list[str] = []
    for parent, names, files in os.walk(folder):
        names[:] = [name for name in names if not is_hidden(name)]
        below = Path(parent).relative_to(folder)
        found.extend((below / name).as_posix() for name in files if is_sound(name, videos=videos))
    return sorted(found)


def is_sound(name: str, *, videos: bool = False) -> bool:
    """True for a file name with an extension of a sound; `videos` adds those that need the extra `[video]`.

    >>> [is_sound(name) for name in ("a.WAV", "._a.wav", "a.txt")]
    [True, False, False]
    """
    return name.lower().endswith(_DECODED + _VIDEO if videos else _DECODED) and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """True for a hidden file or folder, and for those that macOS adds to archives."""
    return name.startswith(".") or name == "__MACOSX"
