"""`audio-dcls manifest esc50 | fsd50k | urbansound8k | speech-commands | folders`: manifests of known datasets."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import typer

from audio_dcls.data.importers.dataset_import import DatasetImport
from audio_dcls_cli.screen.progress import out

NAMES_SHOWN = 5
NUM_CACHED_CLIPS = 3000
"""small_data.yaml keeps all clips in memory, up to 1.3 MB each; with more clips, the printed settings turn that off."""


def import_dataset(result: DatasetImport, target: Path, labels_out: Path | None, *, as_json: bool) -> None:
    """Write the manifest of an imported dataset and its classes; print what was found and how to train on it."""
    labels = labels_out or target.with_name(f"{target.stem}_labels.csv")
    manifest = result.manifest
    manifest.save(target)
    manifest.labels.to_csv(labels)
    settings = [f"data.manifests=[{_yaml(target)}]", f"data.labels={_yaml(labels)}", *result.settings]
    if len(manifest.clips) > NUM_CACHED_CLIPS:
        settings.append("data.cache=none")
    counts = {
        "clips": len(manifest.clips),
        "classes": len(manifest.labels),
        "found": result.num_found,
        "missing": result.num_missing,
        "files_of_no_clip": result.num_unlisted,
    }
    if as_json:
        files = {"manifest": str(target), "labels": str(labels)}
        more = {"folders_of_no_class": list(result.left_out), "settings": settings}
        typer.echo(json.dumps({**files, "splits": manifest.splits(), **counts, **more}, indent=2))
        return
    _show(result, target, labels, counts, settings)


def _show(result: DatasetImport, manifest: Path, labels: Path, counts: dict[str, int], settings: list[str]) -> None:
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
        f"Wrote {manifest} and {labels}; next: "
        + shlex.join(["audio-dcls", "manifest", "check", str(manifest), "--labels", str(labels)]),
        "Then train: "
        + shlex.join(["audio-dcls", "train", "small_data.yaml", *(part for s in settings for part in ("--set", s))]),
    ]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def _yaml(path: Path) -> str:
    """A path in the form that YAML reads in an override, quoted only if necessary."""
    text = str(path)
    return text if re.fullmatch(r"[\w./][\w./ -]*\.[A-Za-z]+", text) else json.dumps(text)
