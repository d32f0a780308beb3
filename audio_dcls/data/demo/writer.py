"""Files of the demo corpus: audio, AudioSet's two segments lists, its class list, and the manifest."""

from __future__ import annotations

import base64
import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from audio_dcls.counted_random import counted_rng
from audio_dcls.data.demo.labels import SPLITS
from audio_dcls.data.demo.scene import Recording, draw_recording, render
from audio_dcls.labels import LabelSet

AUDIO_FOLDER = "audio"
MANIFEST_FILE = "manifest.csv"
LABELS_FILE = "class_labels_indices.csv"
SEGMENTS_FILES = {"train": "balanced_train_segments.csv", "eval": "eval_segments.csv"}


@dataclass(frozen=True)
class DemoClip:
    """One clip of the corpus before it is synthesised."""

    id: str
    """11 characters, in the form of AudioSet's ids."""
    split: str
    index: int
    """Its place within the split."""
    labels: tuple[int, ...]
    """Class indices, ascending."""
    recording: Recording

    @property
    def path(self) -> str:
        """The file's path relative to the corpus's folder, with forward slashes."""
        return f"{AUDIO_FOLDER}/{self.id}.{self.recording.container.lower()}"


def plan_clip(seed: int, split: str, index: int, labels: tuple[int, ...]) -> DemoClip:
    """Plan a clip: its id, classes and recording, without its sound."""
    digest = hashlib.sha256(f"{seed}/{split}/{index}".encode()).digest()
    identifier = base64.b32encode(digest).decode("ascii")[:11].lower()
    recording = draw_recording(counted_rng(seed, SPLITS.index(split), index, stream="demo recording"))
    return DemoClip(identifier, split, index, labels, recording)


def write_audio(folder: Path, seed: int, clip: DemoClip) -> None:
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


def write_segments(path: Path, clips: Sequence[DemoClip], labels: LabelSet) -> None:
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


def write_manifest(path: Path, clips: Sequence[DemoClip], labels: LabelSet) -> None:
    """Write clips as a manifest; start and end stay empty, as each clip is a whole file."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "path", "start_s", "end_s", "labels", "split"])
        for clip in clips:
            mids = ";".join(labels.ids[label] for label in clip.labels)
            writer.writerow([clip.id, clip.path, "", "", mids, clip.split])
