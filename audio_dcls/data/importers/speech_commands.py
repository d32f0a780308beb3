"""Import Speech Commands: 105829 clips of up to 1 s, each of one of 35 words (version 2).

The dataset consists of one folder per word, and of `validation_list.txt` and `testing_list.txt` with one path such as
`cat/0a7c2a8d_nohash_0.wav` per line; all other clips are for training (Warden, 2018, arXiv 1804.03209). All clips of a
speaker are in one split. `_background_noise_` holds minutes of noise without a word, and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from audio_dcls.data.importers.dataset_import import SINGLE_LABEL, DatasetImport, require_folder
from audio_dcls.data.importers.metadata_table import label_set
from audio_dcls.data.manifest import Manifest
from audio_dcls.data.sound.audio_folder import is_hidden, is_sound
from audio_dcls.data.table.clip import Clip
from audio_dcls.errors import ManifestError

_LISTS = {"val": "validation_list.txt", "eval": "testing_list.txt"}
_NOISE = "_background_noise_"
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN = "unknown"

Words = Literal["all", "commands"]


def import_speech_commands(folder: Path, *, words: Words = "all") -> DatasetImport:
    """Build a manifest of Speech Commands: splits `train`, `val` and `eval`.

    `folder` holds the folders of the words and the two lists. For `words="all"`, each folder is a class, in
    alphabetical order; for `commands`, the ten words of the keyword-spotting task, then `unknown` for every other word.
    The twelfth class of that task, silence, has no files and is left out. Raise a ManifestError if the folder or a list
    is missing, there is no word, or a line breaks a rule; the message names the line.
    """
    require_folder(folder, "Speech Commands")
    listed = _read_lists(folder)
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))
    words_of = [word for word in folders if word != _NOISE]
    sounds = {word: [p.name for p in (folder / word).iterdir() if is_sound(p.name)] for word in words_of}
    known = [word for word, names in sounds.items() if names]
    if not known:
        raise ManifestError(f"folder '{folder}' holds no folder of sounds; give the one with a folder for each word")
    _check_listed(folder, listed, known)
    missing_words = [word for word in COMMANDS if word not in known]
    if words == "commands" and missing_words:
        raise ManifestError(f"'{folder}' lacks the folders {missing_words} of the ten commands; take all words")
    classes = [*COMMANDS, UNKNOWN] if words == "commands" else known
    index_of = {word: classes.index(word if word in classes else UNKNOWN) for word in known}
    on_disk = {f"{word}/{name}" for word in known for name in sounds[word]}
    clips = [
        Clip.whole_file(
            name.removesuffix(".wav"),
            folder / name,
            (index_of[name.partition("/")[0]],),
            listed[name][0] if name in listed else "train",
        )
        for name in sorted(on_disk | set(listed))
    ]
    num_missing = len(set(listed) - on_disk)
    return DatasetImport(
        manifest=Manifest(clips=clips, labels=label_set(folder, classes, classes), source=str(folder)),
        num_found=len(clips) - num_missing,
        num_missing=num_missing,
        num_unlisted=sum(is_sound(path.name) for path in folder.iterdir()),
        left_out=tuple(word for word in folders if word not in known),
        settings=("data.eval_splits=[val]", SINGLE_LABEL, "frontend.clip_s=1"),
    )


def _read_lists(folder: Path) -> dict[str, tuple[str, Path, int]]:
    """The split, list and line of every path in the two lists."""
    listed: dict[str, tuple[str, Path, int]] = {}
    for split, file in _LISTS.items():
        path = folder / file
        for number, name in _lines(path):
            if name in listed:
                _, other, line = listed[name]
                raise ManifestError(
                    f"'{path}', row {number} (={name!r}) is also row {line} of '{other}'; remove one of the two"
                )
            listed[name] = (split, path, number)
    return listed


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line that is not blank."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ManifestError(
            f"'{path}' does not exist; give the folder that Speech Commands unpacks to, or import one folder per class "
            "without lists as class folders"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"'{path}' is not a readable text file: {error}; use the original file of the dataset"
        ) from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


def _check_listed(folder: Path, listed: dict[str, tuple[str, Path, int]], words: list[str]) -> None:
    """Refuse a line that does not name a clip of an existing word."""
    for name, (_, path, number) in listed.items():
        where = f"'{path}', row {number} (={name!r})"
        word, slash, file = name.partition("/")
        if not slash or "/" in file or not is_sound(file):
            raise ManifestError(f"{where} must be WORD/FILE.wav; fix it, or use the original list of the dataset")
        if word not in words:
            raise ManifestError(
                f"{where} is of the word {word!r}, which has no folder of sounds in '{folder}'; unpack it"
            )
