"""`audio-dcls tag`: name the sounds in files, folders, manifests, a pipe or a microphone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from audio_dcls.choices import BackendName, Pooling, Precision, Short
from audio_dcls.tag_options import TagOptions, Timeline, describe_option

HELP = "Name the sounds in files, folders, manifests, a pipe or a microphone, with the latest run by default."
SOURCES, WHAT, WINDOWS, OUTPUT, COMPUTE = "Sounds", "What to say", "Windows", "Output", "Model and speed"


def _option(panel: str, *names: str, describes: str | None = None, **rules: Any) -> Any:
    """An option in a panel of the help; `describes` names the option of tagging whose description it has."""
    if describes is not None:
        rules["help"] = describe_option(describes, Timeline if hasattr(Timeline, describes) else TagOptions)
    return typer.Option(*names, rich_help_panel=panel, **rules)


def tag(
    sounds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOUND...",
            help="Sound files, folders (at any depth), 'patterns*', manifests, or - for standard input.",
            show_default=False,
        ),
    ] = None,
    raw: Annotated[
        str | None,
        _option(
            SOURCES,
            metavar="RATE[,CHANNELS[,s16le|f32le]]",
            help="Standard input is samples without a header, at RATE Hz.",
        ),
    ] = None,
    mic: Annotated[
        float | None, _option(SOURCES, metavar="SECONDS", help="Record from the microphone for this time.")
    ] = None,
    mic_device: Annotated[str | None, _option(SOURCES, help="Number of the microphone, or a part of its name.")] = None,
    checkpoint: Annotated[
        str | None,
        _option(
            COMPUTE,
            help="Study, seed-N or checkpoint folder, file, or a name of `models list` (default: the latest run).",
        ),
    ] = None,
    top_k: Annotated[int, _option(WHAT, describes="top_k", min=1)] = 10,
    threshold: Annotated[str | None, _option(WHAT, describes="threshold", metavar="P|fitted")] = None,
    classes: Annotated[list[str] | None, _option(WHAT, "--class", describes="classes", metavar="NAME")] = None,
    truth: Annotated[
        Path | None, _option(WHAT, metavar="MANIFEST", help="Show next to each file its labels in this manifest.")
    ] = None,
    window: Annotated[float | None, _option(WINDOWS, describes="window_s")] = None,
    hop: Annotated[float | None, _option(WINDOWS, describes="hop_s")] = None,
    pooling: Annotated[Pooling, _option(WINDOWS, describes="pooling")] = TagOptions.pooling,
    short: Annotated[Short, _option(WINDOWS, describes="short")] = TagOptions.short,
    out: Annotated[
        Path | None, _option(OUTPUT, metavar="JSONL", help="Write JSON Lines, one per sound, while tagging.")
    ] = None,
    resume: Annotated[bool, _option(OUTPUT, "--resume", help="Continue OUT; skip the sounds that are in it.")] = False,
    timeline: Annotated[
        Path | None,
        _option(OUTPUT, metavar="FILE", help="Find events, write them: .csv, .jsonl, .txt (Audacity), .tsv (DCASE)."),
    ] = None,
    min_gap: Annotated[float, _option(OUTPUT, describes="min_gap_s", min=0)] = Timeline.min_gap_s,
    min_duration: Annotated[float, _option(OUTPUT, describes="min_duration_s", min=0)] = Timeline.min_duration_s,
    plot: Annotated[
        Path | None,
        _option(OUTPUT, metavar="PNG", help="Draw sound, spectrogram and scores; a folder for several sounds."),
    ] = None,
    embeddings: Annotated[
        Path | None, _option(OUTPUT, metavar="FILE", help="Write embeddings: .npz or .parquet.")
    ] = None,
    json_: Annotated[bool, _option(OUTPUT, "--json", help="Print JSON Lines, one object per sound.")] = False,
    backend: Annotated[BackendName, _option(COMPUTE, help="Library that computes the model.")] = "torch",
    precision: Annotated[Precision, _option(COMPUTE, help="Floating type of the backbone.")] = "fp32",
    device: Annotated[str, _option(COMPUTE, help="cpu, cuda, cuda:1, mps.")] = "cpu",
    batch: Annotated[int, _option(COMPUTE, min=1, help="Windows computed at once.")] = 4,
    engine: Annotated[
        Literal["local", "ray"], _option(COMPUTE, help="ray: over a Ray cluster, for millions of sounds.")
    ] = "local",
    ray_address: Annotated[
        str | None, _option(COMPUTE, help="Address of the cluster (default: one that is started here).")
    ] = None,
    workers: Annotated[
        int | None, _option(COMPUTE, min=1, help="Ray processes (default: one per core or GPU).")
    ] = None,
    yes: Annotated[bool, _option(COMPUTE, "--yes", help="Fetch published weights without asking.")] = False,
) -> None:
    """Tag sounds; a sound that cannot be read is reported, the others are tagged, and the exit code is 1."""
    from audio_dcls_cli.actions import tag as actions

    actions.tag(
        actions.Sources(sounds or [], raw, mic, mic_device),
        actions.Compute(checkpoint, backend, precision, device, batch, engine, ray_address, workers, yes),
        actions.TagOutputs(json_, out, resume, timeline, plot, embeddings, truth),
        {
            "top_k": top_k,
            "threshold": actions.number_or_name(threshold),
            "window_s": window,
            "hop_s": hop,
            "pooling": pooling,
            "short": short,
            "classes": classes or None,
            # A picture without events is enough of a timeline to have short windows.
            "timeline": Timeline(min_gap_s=min_gap, min_duration_s=min_duration) if timeline or plot else False,
            "embeddings": embeddings is not None,
        },
    )
