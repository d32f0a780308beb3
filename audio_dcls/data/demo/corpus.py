"""The demo corpus: synthesised sounds of AudioSet classes, to train and measure a model without a download."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import soundfile

from audio_dcls.counted_random import counted_rng
from audio_dcls.data.demo.scene import Recording, draw_recording, render
from audio_dcls.data.demo.sounds import SPLITS, deal_labels, demo_labels
from audio_dcls.errors import ArgumentError, ManifestError
from audio_dcls.labels import LabelSet

_AUDIO_FOLDER = "audio"
_MANIFEST_FILE = "manifest.csv"
_LABELS_FILE = "class_labels_indices.csv"
_SEGMENTS_FILES = {"train": "balanced_train_segments.csv", "eval": "eval_segments.csv"}

_CORPUS_VERSION = 2
"""Increased whenever the same seed gives other sounds, so that an old corpus is not used as a new one."""

_MARKER_FILE = "demo_corpus.json"
"""Written last: a folder with this file is complete."""

_PARTIAL_PREFIX = ".{}.partial-"

_ABANDONED_AFTER_S = 3600.0
"""An incomplete folder that has not changed for this long was left by a process that died."""


@dataclass(frozen=True)
class _DemoClip:
    """One clip of the corpus before it is synthesised."""

    id: str
    """11 characters, in the form of AudioSet's ids."""
    split: str
    index: int
    """Its place within the split."""
    labels: tuple[int, ...]
    recording: Recording

    @property
    def path(self) -> str:
        """The file's path relative to the corpus's folder, with forward slashes."""
        return f"{_AUDIO_FOLDER}/{self.id}.{self.recording.container.lower()}"


@dataclass(frozen=True)
class DemoCorpus:
    """Paths of a written corpus: the manifest of both splits, AudioSet's lists of segments and classes, and the clips.

    The corpus existed already if `reused` is true.
    """

    folder: Path
    manifest: Path
    segments: dict[str, Path]
    labels: Path
    audio: Path
    reused: bool


def write_demo_corpus(
    folder: str | Path,
    *,
    seed: int = 0,
    num_train: int = 1100,
    num_eval: int = 300,
    num_workers: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> DemoCorpus:
    """Synthesise the corpus, or find it complete. The folder appears complete or not at all.

    Args:
        folder: new, empty, or a corpus made with the same arguments, which is kept.
        seed: at least 0. Clip i of a split depends on the seed, the split and i alone: a larger corpus starts with the
            smaller one.
        num_train: training clips, at least 1; about 100 of 1100 hold a given class.
        num_eval: evaluation clips, at least 1; 26 of 300 hold a given class.
        num_workers: threads, by default one per processor; the sounds do not depend on it.
        on_progress: called with the number of clips written since its last call.

    Raises:
        ArgumentError: a number is out of range.
        ManifestError: the folder holds something else, or another corpus.
    """
    for name, value, least in (("seed", seed, 0), ("num_train", num_train, 1), ("num_eval", num_eval, 1)):
        if value < least:
            raise ArgumentError(f"`{name}` (={value}) must be at least {least}; raise it")
    if num_workers is not None and num_workers < 1:
        raise ArgumentError(f"`num_workers` (={num_workers}) must be at least 1; raise it, or leave it out")
    folder = Path(folder).absolute()
    fingerprint = {"corpus_version": _CORPUS_VERSION, "seed": seed, "num_train": num_train, "num_eval": num_eval}
    if _is_finished(folder, fingerprint):
        return _corpus(folder, reused=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL_PREFIX.format(folder.name), dir=folder.parent))
    try:
        _write_parts(partial, seed, {"train": num_train, "eval": num_eval}, num_workers, on_progress)
        (partial / _MARKER_FILE).write_text(json.dumps(fingerprint) + "\n", encoding="utf-8")
        partial.chmod(0o755)
        reused = _move_into_place(partial, folder, fingerprint)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _corpus(folder, reused=reused)


def _is_finished(folder: Path, fingerprint: dict[str, int]) -> bool:
    """True if this corpus exists, False if the folder is empty or does not exist; anything else is an error."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise ManifestError(f"'{folder}' is a file, not a folder; name a new folder for the demo corpus")
    if not any(folder.iterdir()):
        return False
    marker = folder / _MARKER_FILE
    if not marker.is_file():
        raise ManifestError(
            f"folder '{folder}' holds something other than a demo corpus and is not changed; "
            "name a new or an empty folder"
        )
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ManifestError(
            f"'{marker}' is not the JSON file of a demo corpus; delete the folder and try again"
        ) from error
    if found != fingerprint:
        raise ManifestError(
            f"folder '{folder}' holds another demo corpus ({found}, requested is {fingerprint}); "
            "name another folder, or delete this one"
        )
    return True


def _write_parts(
    folder: Path,
    seed: int,
    num_clips: dict[str, int],
    num_workers: int | None,
    on_progress: Callable[[int], None] | None,
) -> None:
    labels = demo_labels()
    clips: list[_DemoClip] = []
    for split in SPLITS:
        dealt = deal_labels(seed, split, num_clips[split])
        planned = [_plan_clip(seed, split, index, classes) for index, classes in enumerate(dealt)]
        _write_segments(folder / _SEGMENTS_FILES[split], planned, labels)
        clips += planned
    labels.to_csv(folder / _LABELS_FILE)
    _write_manifest(folder / _MANIFEST_FILE, clips, labels)
    (folder / _AUDIO_FOLDER).mkdir()
    # By threads: NumPy releases the interpreter's lock, and threads need no import.
    with ThreadPoolExecutor(num_workers or os.cpu_count()) as pool:
        tasks = [pool.submit(_write_audio, folder, seed, clip) for clip in clips]
        try:
            for task in as_completed(tasks):
                task.result()
                if on_progress is not None:
                    on_progress(1)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _move_into_place(partial: Path, folder: Path, fingerprint: dict[str, int]) -> bool:
    """Rename the finished folder; True if another process finished the same corpus first."""
    if _is_finished(folder, fingerprint):
        return True
    if folder.exists():
        folder.rmdir()
    try:
        partial.rename(folder)
    except OSError:
        if not _is_finished(folder, fingerprint):
            raise
        return True
    return False


def _remove_abandoned(folder: Path) -> None:
    for left in folder.parent.glob(f"{_PARTIAL_PREFIX.format(folder.name)}*"):
        audio = left / _AUDIO_FOLDER
        touched = (audio if audio.is_dir() else left).stat().st_mtime
        if time.time() - touched > _ABANDONED_AFTER_S:
            shutil.rmtree(left, ignore_errors=True)


def _corpus(folder: Path, *, reused: bool) -> DemoCorpus:
    return DemoCorpus(
        folder=folder,
        manifest=folder / _MANIFEST_FILE,
        segments={split: folder / name for split, name in _SEGMENTS_FILES.items()},
        labels=folder / _LABELS_FILE,
        audio=folder / _AUDIO_FOLDER,
        reused=reused,
    )


def _plan_clip(seed: int, split: str, index: int, labels: tuple[int, ...]) -> _DemoClip:
    """Plan a clip: its id, classes and recording, without its sound."""
    digest = hashlib.sha256(f"{seed}/{split}/{index}".encode()).digest()
    identifier = base64.b32encode(digest).decode("ascii")[:11].lower()
    recording = draw_recording(counted_rng(seed, SPLITS.index(split), index, stream="demo recording"))
    return _DemoClip(identifier, split, index, labels, recording)


def _write_audio(folder: Path, seed: int, clip: _DemoClip) -> None:
    """Synthesise a clip and write its file, one second at a time: long writes overflow the Vorbis encoder's stack."""
    recording = clip.recording
    rng = counted_rng(seed, SPLITS.index(clip.split), clip.index, stream="demo sound")
    sound = render(clip.labels, recording, rng)
    with soundfile.SoundFile(
        folder / clip.path,
        "w",
        samplerate=recording.sample_rate_hz,
        channels=recording.num_channels,
        format=recording.container,
        subtype=recording.subtype,
    ) as stream:
        for first in range(0, len(sound), recording.sample_rate_hz):
            stream.write(sound[first : first + recording.sample_rate_hz])


def _write_segments(path: Path, clips: Sequence[_DemoClip], labels: LabelSet) -> None:
    """Write clips in AudioSet's form: three comment lines, then id, start, end and the quoted ids of the labels."""
    num_positive = sum(len(clip.labels) for clip in clips)
    num_unique = len({label for clip in clips for label in clip.labels})
    lines = [
        "# Segments csv of the audio_dcls demo corpus: synthesised sounds, the ids are made up",
        f"# num_ytids={len(clips)}, num_segs={len(clips)}, num_unique_labels={num_unique}, "
        f"num_positive_labels={num_positive}",
        "# YTID, start_seconds, end_seconds, positive_labels",
    ]
    for clip in clips:
        mids = ",".join(labels.ids[label] for label in clip.labels)
        lines.append(f'{clip.id}, 0.000, {clip.recording.length_s:.3f}, "{mids}"')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_manifest(path: Path, clips: Sequence[_DemoClip], labels: LabelSet) -> None:
    """Write clips as a manifest; start and end stay empty, as each clip is a whole file."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "path", "start_s", "end_s", "labels", "split"])
        for clip in clips:
            mids = ";".join(labels.ids[label] for label in clip.labels)
            writer.writerow([clip.id, clip.path, "", "", mids, clip.split])
