"""`audio-dcls manifest index`: a manifest as a file that opens in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def index(
    source: Annotated[
        list[Path], typer.Argument(metavar="MANIFEST...", help="CSV or other manifest.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.clips", help="Index to write.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", metavar="CSV", help="A class_labels_indices.csv; if not given, AudioSet's 527 classes."
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write manifests as one file that is mapped into memory, and shared by all processes, when it is opened.

    It stands wherever a manifest does. Write it again when the manifests change.
    """
    import json

    from rich.markup import escape

    from audio_dcls.data.manifest import Manifest
    from audio_dcls.data.manifest_reader import load_manifest
    from audio_dcls.data.table.clip_index import write_index
    from audio_dcls.labels import LabelSet
    from audio_dcls_cli.progress import say

    label_set = LabelSet.audioset() if labels is None else LabelSet.from_csv(labels)
    manifests = [load_manifest(path, label_set) for path in source]
    manifest = manifests[0] if len(manifests) == 1 else Manifest.concatenate(manifests)
    write_index(manifest.table, label_set, out)
    facts = {"index": str(out), "num_clips": len(manifest.table), "splits": manifest.splits()}
    if json_:
        typer.echo(json.dumps({**facts, "num_bytes": out.stat().st_size}, indent=2))
        return
    say(f"{len(manifest.table):,} clips of {len(manifest.splits())} splits, {out.stat().st_size / 1e6:,.1f} MB")
    say(f"Wrote {out}; then: --set data.manifests={escape(f'[{out}]')}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("index")(index)
