"""`audio-dcls manifest frontend-stats`: the mean and standard deviation that a config normalises by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    Path, typer.Argument(metavar="MANIFEST", help="CSV, packed index, HDF5 file or packed folder.", show_default=False)
]
Out = Annotated[Path, typer.Option(metavar="YAML", help="File to write; a config takes it in by `include:`.")]
Splits = Annotated[
    list[str] | None,
    typer.Option("--split", metavar="NAME", help="Split to measure; may be repeated. If not given, train."),
]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Measure N clips drawn at random; if not given, all.")
]
Seed = Annotated[int, typer.Option(help="Of that draw.")]
Config = Annotated[
    str | None,
    typer.Option(metavar="YAML", help="Config whose frontend to measure with; if not given, the paper's."),
]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", metavar="CSV", help="A class_labels_indices.csv; if not given, AudioSet's 527 classes."),
]
Workers = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Processes that read files; 0 for none.", show_default="one a core"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def frontend_stats(
    source: Source,
    out: Out,
    split: Splits = None,
    limit: Limit = None,
    seed: Seed = 0,
    config: Config = None,
    labels: Labels = None,
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Measure mean and standard deviation of a split's spectrograms, in dB, for a config to include.

    Clips are cut or padded as for training, so padding counts. A clip that cannot be read is left out and counted.
    """
    import json
    from dataclasses import asdict

    import torch

    from audio_dcls.data.loading.loader import num_cpus
    from audio_dcls.data.loading.spectrogram_stats import draw_clips, measure_spectrograms, stats_fragment
    from audio_dcls.data.manifest_reader import load_manifest
    from audio_dcls.files import write_atomically
    from audio_dcls.frontend import FrontendConfig
    from audio_dcls.labels import LabelSet
    from audio_dcls.settings import build, load_yaml
    from audio_dcls_cli.progress import clip_progress, say

    splits = split or ["train"]
    values = {} if config is None else load_yaml(config).get("frontend", {})
    frontend = build(FrontendConfig, values, f"config '{config}'")
    label_set = LabelSet.audioset() if labels is None else LabelSet.from_csv(labels)
    clips = load_manifest(source, label_set).split(*splits).table
    clips = clips if limit is None else draw_clips(clips, limit, seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    num_workers = num_cpus() if workers is None else workers
    with clip_progress("Measuring spectrograms", len(clips), quiet=json_) as advance:
        stats = measure_spectrograms(clips, frontend, num_workers=num_workers, device=device, on_progress=advance)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, stats_fragment(stats, frontend, f"split {', '.join(splits)} of {source}").encode())
    if json_:
        typer.echo(json.dumps({"manifest": str(source), "splits": splits, "file": str(out), **asdict(stats)}, indent=2))
        return
    say(f"mean {stats.mean_db:.4f} dB, standard deviation {stats.std_db:.4f} dB over {stats.num_clips} clips")
    say(f"{stats.floor_share:.1%} of the values are digital silence, padding included")
    if stats.num_failed:
        say(f"[yellow]{stats.num_failed} clips could not be read[/]; audio-dcls manifest check {source}")
    say(f"Wrote {out}; in a config: include: {out}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("frontend-stats")(frontend_stats)
