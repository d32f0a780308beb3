"""`audio-dcls manifest esc50 | fsd50k | urbansound8k | speech-commands | folders`: manifests of known datasets."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from audio_dcls.data.importers.class_folders import import_class_folders
from audio_dcls.data.importers.dataset_import import DatasetImport
from audio_dcls.data.importers.esc50 import import_esc50
from audio_dcls.data.importers.fsd50k import import_fsd50k
from audio_dcls.data.importers.speech_commands import import_speech_commands
from audio_dcls.data.importers.urbansound8k import import_urbansound8k
from audio_dcls.data.table.folds import fold_numbers
from audio_dcls_cli.screen.progress import out

SINGLE_LABEL = "loss.name=cross_entropy"
TRAIN_SPLIT = re.compile("train|training", re.IGNORECASE)
NAMES_SHOWN = 5
NUM_CACHED_CLIPS = 3000
"""small_data.yaml keeps all clips in memory, up to 1.3 MB each; with more clips, the printed settings turn that off."""


@dataclass(frozen=True)
class Target:
    """Where an import is written, and in which form it is printed."""

    out: Path
    labels_out: Path | None
    json: bool

    @property
    def labels(self) -> Path:
        """The file of classes."""
        return self.labels_out or self.out.with_name(f"{self.out.stem}_labels.csv")


def esc50(*, folder: Path, out: Path, esc10: bool, labels_out: Path | None, json_: bool) -> None:
    """Build a manifest of ESC-50: splits fold1 to fold5."""
    result = import_esc50(folder, esc10=esc10)
    _write(result, Target(out, labels_out, json_), ["data.fold=1", SINGLE_LABEL, "frontend.clip_s=5"])


def urbansound8k(*, folder: Path, out: Path, labels_out: Path | None, json_: bool) -> None:
    """Build a manifest of UrbanSound8K: splits fold1 to fold10."""
    result = import_urbansound8k(folder)
    _write(result, Target(out, labels_out, json_), ["data.fold=1", SINGLE_LABEL, "frontend.clip_s=4"])


def fsd50k(*, folder: Path, out: Path, labels_out: Path | None, json_: bool) -> None:
    """Build a manifest of FSD50K: splits train, val and eval, several labels a clip."""
    result = import_fsd50k(folder)
    _write(result, Target(out, labels_out, json_), ["data.eval_splits=[val]"])


def speech_commands(
    *, folder: Path, out: Path, words: Literal["all", "commands"], labels_out: Path | None, json_: bool
) -> None:
    """Build a manifest of Speech Commands: splits train, val and eval."""
    result = import_speech_commands(folder, words=words)
    target = Target(out, labels_out, json_)
    _write(result, target, ["data.eval_splits=[val]", SINGLE_LABEL, "frontend.clip_s=1"])


def folders(
    *,
    folder: Path,
    out: Path,
    layout: Literal["auto", "classes", "splits"],
    held_out: float | None,
    seed: int,
    labels_out: Path | None,
    json_: bool,
) -> None:
    """Build a manifest from one folder per class: DIR/CLASS/x.wav, or DIR/SPLIT/CLASS/x.wav."""
    result = import_class_folders(folder, layout=layout, held_out=held_out, seed=seed)
    _write(result, Target(out, labels_out, json_), [*_split_settings(list(result.manifest.splits())), SINGLE_LABEL])


def _split_settings(splits: list[str]) -> list[str]:
    """Config keys that name the splits of folders; empty if they are the defaults."""
    numbers = fold_numbers(splits)
    if len(numbers) > 1:
        return [f"data.fold={numbers[0]}"]
    train = [name for name in splits if TRAIN_SPLIT.fullmatch(name)]
    others = [name for name in splits if name not in train]
    val = [name for name in others if name.lower().startswith(("val", "dev"))] or others[:1]
    named = {"train": train, "eval": val}
    return [f"data.{side}_splits=[{','.join(names)}]" for side, names in named.items() if names and names != [side]]


def _write(result: DatasetImport, target: Target, training: list[str]) -> None:
    """Write the manifest and its classes; print what was found and how to train on it."""
    manifest = result.manifest
    manifest.save(target.out)
    manifest.labels.to_csv(target.labels)
    settings = [f"data.manifests=[{_yaml(target.out)}]", f"data.labels={_yaml(target.labels)}", *training]
    if len(manifest.clips) > NUM_CACHED_CLIPS:
        settings.append("data.cache=none")
    counts = {
        "clips": len(manifest.clips),
        "classes": len(manifest.labels),
        "found": result.num_found,
        "missing": result.num_missing,
        "files_of_no_clip": result.num_unlisted,
    }
    if target.json:
        files = {"manifest": str(target.out), "labels": str(target.labels)}
        more = {"folders_of_no_class": list(result.left_out), "settings": settings}
        typer.echo(json.dumps({**files, "splits": manifest.splits(), **counts, **more}, indent=2))
        return
    _show(result, target, counts, settings)


def _show(result: DatasetImport, target: Target, counts: dict[str, int], settings: list[str]) -> None:

    splits = result.manifest.splits()
    lines = [
        f"{counts['clips']} clips of {counts['classes']} classes: {counts['found']} with a file, "
        f"{counts['missing']} missing",
        "Splits: " + ", ".join(f"{name} {num_clips}" for name, num_clips in splits.items()),
    ]
    if result.num_unlisted:
        lines.append(f"{result.num_unlisted} audio files belong to no clip")
    if result.left_out:
        more = len(result.left_out) - NAMES_SHOWN
        shown = ", ".join(result.left_out[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        lines.append(f"Folders left out, because they are not classes: {shown}")
    lines += [
        f"Wrote {target.out} and {target.labels}; next: "
        + shlex.join(["audio-dcls", "manifest", "check", str(target.out), "--labels", str(target.labels)]),
        "Then train: "
        + shlex.join(["audio-dcls", "train", "small_data.yaml", *(part for s in settings for part in ("--set", s))]),
    ]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def _yaml(path: Path) -> str:
    """A path in the form that YAML reads in an override, quoted only if necessary."""
    text = str(path)
    return text if re.fullmatch(r"[\w./][\w./ -]*\.[A-Za-z]+", text) else json.dumps(text)
