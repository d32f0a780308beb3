"""`audio-dcls manifest hdf5`: a manifest of the rows of HDF5 files, with splits of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def hdf5(
    source: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="HDF5 files in PANNs' layout.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="CSV", help="Manifest to write.")],
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Split of each FILE, in turn; if not given, its attribute 'split', or its name."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", metavar="CSV", help="A class_labels_indices.csv; if not given, AudioSet's 527 classes."
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Build a manifest of the rows of HDF5 files.

    Only needed to name splits or to leave rows out: such a file is a manifest itself.
    """
    import json
    from dataclasses import replace

    from audio_dcls.data.manifest import Manifest
    from audio_dcls.data.stores.hdf5_clips import read_manifest
    from audio_dcls.errors import ArgumentError
    from audio_dcls.labels import LabelSet
    from audio_dcls_cli.progress import say

    if split and len(split) != len(source):
        raise ArgumentError(f"--split is given {len(split)} times for {len(source)} files; give one for each")
    label_set = LabelSet.audioset() if labels is None else LabelSet.from_csv(labels)
    manifest = Manifest.concatenate(
        [
            Manifest(read_manifest(path, label_set, split=name), label_set, str(path))
            for path, name in zip(source, split or [None] * len(source), strict=True)
        ]
    )
    is_labelled = manifest.table.label_counts() > 0
    num_unlabelled = int((~is_labelled).sum())
    manifest = replace(manifest, clips=manifest.table.take(is_labelled))
    manifest.save(out)
    facts = {"manifest": str(out), "num_clips": len(manifest.table), "splits": manifest.splits()}
    if json_:
        typer.echo(json.dumps({**facts, "num_without_labels": num_unlabelled}, indent=2))
        return
    say(f"{len(manifest.table)} rows of {len(source)} files; {num_unlabelled} without a label left out")
    say(f"Wrote {out}; next: audio-dcls manifest check {out}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("hdf5")(hdf5)
