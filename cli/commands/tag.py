"""`audio-dcls tag`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from audio_dcls.data.sound.sound_stream import Sound
    from audio_dcls.inference import Tagger
    from audio_dcls.inference.ray_tagging import RayWorkers

HELP = "Name the sounds in files, folders, manifests, a pipe or a microphone, with the latest run by default."
FAILED = 1
STANDARD_INPUT = "-"
SOURCES, WHAT, WINDOWS, OUTPUT, COMPUTE = "Sounds", "What to say", "Windows", "Output", "Model and speed"


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
        typer.Option(
            metavar="RATE[,CHANNELS[,s16le|f32le]]",
            help="Standard input is samples without a header, at RATE Hz.",
            rich_help_panel=SOURCES,
        ),
    ] = None,
    mic: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Listen to the microphone for so long.", rich_help_panel=SOURCES),
    ] = None,
    mic_device: Annotated[
        str | None, typer.Option(help="Its number or a part of its name.", rich_help_panel=SOURCES)
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="Study, seed-N or checkpoint folder, file, or a name of `models list` (default: the latest run).",
            rich_help_panel=COMPUTE,
        ),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Tags a sound at most.", rich_help_panel=WHAT)] = 10,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="P|fitted",
            help="Leave out what is less probable; fitted: one a class, stored by `eval --fit-thresholds`.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Only this class, or those beneath it in AudioSet's ontology; again for more.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST", help="Show beside each file the labels this manifest gives it.", rich_help_panel=WHAT
        ),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            help="Seconds of a window (default: the model's clip; 2 for a timeline).", rich_help_panel=WINDOWS
        ),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(
            help="Seconds between windows' starts (default: a window; half of one for a timeline).",
            rich_help_panel=WINDOWS,
        ),
    ] = None,
    pooling: Annotated[
        str, typer.Option(help="Scores of a sound from its windows': mean, max or noisy_or.", rich_help_panel=WINDOWS)
    ] = "mean",
    short: Annotated[
        str,
        typer.Option(help="What fills a window shorter than the model's clip: pad or repeat.", rich_help_panel=WINDOWS),
    ] = "pad",
    out: Annotated[
        Path | None,
        typer.Option(metavar="JSONL", help="Write JSON Lines, one a sound, as they come.", rich_help_panel=OUTPUT),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with OUT; no sound in it is done again.", rich_help_panel=OUTPUT)
    ] = False,
    timeline: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Find events, write them: .csv, .jsonl, .txt (Audacity), .tsv (DCASE).",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    min_gap: Annotated[
        float, typer.Option(min=0, help="Join events closer than so many seconds.", rich_help_panel=OUTPUT)
    ] = 0.0,
    min_duration: Annotated[
        float, typer.Option(min=0, help="Leave out events shorter than so many seconds.", rich_help_panel=OUTPUT)
    ] = 0.0,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG",
            help="Draw sound, spectrogram and scores; a folder for several sounds.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    embeddings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write embeddings: .npz or .parquet.", rich_help_panel=OUTPUT)
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print JSON Lines, one object a sound.", rich_help_panel=OUTPUT)
    ] = False,
    backend: Annotated[str, typer.Option(help="torch, onnx or openvino.", rich_help_panel=COMPUTE)] = "torch",
    precision: Annotated[str, typer.Option(help="fp32 or bf16.", rich_help_panel=COMPUTE)] = "fp32",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.", rich_help_panel=COMPUTE)] = "cpu",
    batch: Annotated[int, typer.Option(min=1, help="Windows computed at once.", rich_help_panel=COMPUTE)] = 4,
    engine: Annotated[
        str, typer.Option(help="local, or ray: over a Ray cluster, for millions of sounds.", rich_help_panel=COMPUTE)
    ] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="Of the cluster; one is started here by default.", rich_help_panel=COMPUTE)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Ray processes (default: one a core or GPU).", rich_help_panel=COMPUTE)
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Fetch published weights without asking.", rich_help_panel=COMPUTE)
    ] = False,
) -> None:
    """Tag sounds; one that cannot be read is reported, the rest go on, and the exit code is 1."""
    from audio_dcls.errors import ArgumentError
    from audio_dcls_cli.tag_run import TagOutputs, run_tagging

    if resume and out is None:
        raise ArgumentError("--resume goes on with the file of --out, and none is named; give --out FILE.jsonl")
    if not sounds and mic is None:
        raise ArgumentError(
            "no SOUND is named; give files, folders, a manifest, - for standard input, or --mic SECONDS"
        )
    outputs = TagOutputs(
        json=json_, out=out, resume=resume, timeline=timeline, plot=plot, embeddings=embeddings, truth=truth
    )
    outputs.check()
    options: dict[str, Any] = {
        "top_k": top_k,
        "threshold": _threshold(threshold),
        "window_s": window,
        "hop_s": hop,
        "pooling": pooling,
        "short": short,
        "classes": classes or None,
        "timeline": _timeline(timeline, plot, min_gap, min_duration),
        "embeddings": embeddings is not None,
    }
    source = _choose(checkpoint, yes=yes, quiet=json_)
    tagger = _load(source, backend=backend, precision=precision, device=device)
    tagger.plan(**options)
    heard = _sounds(sounds or [], raw, mic, mic_device, tagger)
    ray = _ray_workers(engine, source, workers, ray_address, plot, device=device, backend=backend, precision=precision)
    num_failed = run_tagging(tagger, heard, options, outputs, windows_per_batch=batch, ray=ray)
    if num_failed:
        raise typer.Exit(FAILED)


def _threshold(text: str | None) -> float | str | None:
    """A number where it is one; a name is checked by the tagger."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _timeline(timeline: Path | None, plot: Path | None, min_gap_s: float, min_duration_s: float) -> Any:
    """A picture without events is enough of a timeline to have short windows."""
    from audio_dcls.inference import Timeline

    if timeline is None and plot is None:
        return False
    return Timeline(min_gap_s=min_gap_s, min_duration_s=min_duration_s)


def _choose(checkpoint: str | None, *, yes: bool, quiet: bool) -> Path:
    from audio_dcls_cli.actions.inputs import choose_model
    from audio_dcls_cli.screen.progress import say

    source = choose_model(checkpoint, yes=yes, quiet=quiet)
    if not quiet:
        say(f"Model: {source}")
    return source


def _load(source: Path, *, backend: Any, precision: Any, device: str) -> Tagger:
    from audio_dcls.inference import Tagger

    return Tagger.load(source, backend=backend, precision=precision, device=device)


def _ray_workers(
    engine: str, source: Path, workers: int | None, address: str | None, plot: Path | None, **compute: Any
) -> RayWorkers | None:
    """What Ray is asked for; None where this process tags by itself."""
    from audio_dcls.errors import ArgumentError

    if engine not in ("local", "ray"):
        raise ArgumentError(f"--engine (={engine}) must be local or ray")
    if engine == "local":
        given = "--workers" if workers is not None else "--ray-address" if address is not None else None
        if given is not None:
            raise ArgumentError(f"{given} is of Ray; add --engine ray, or leave it out")
        return None
    if plot is not None:
        raise ArgumentError(f"--plot {plot} draws what this process hears; leave it out with --engine ray")
    from audio_dcls.inference.ray_tagging import RayWorkers

    return RayWorkers(str(source.absolute()), num_workers=workers, address=address, **compute)


def _sounds(
    names: list[str], raw: str | None, mic_s: float | None, mic_device: str | None, tagger: Tagger
) -> list[Sound]:
    from audio_dcls.data.sound.microphone import MicrophoneSound
    from audio_dcls.data.sound.standard_input import standard_input
    from audio_dcls.errors import ArgumentError
    from audio_dcls.inference.sound_inputs import find_sounds

    heard: list[Sound] = []
    if STANDARD_INPUT in names:
        heard.append(standard_input(sys.stdin.buffer, raw))
    elif raw is not None:
        raise ArgumentError(f"--raw {raw} is of standard input, and - is not among the sounds; add it")
    if mic_s is not None:
        device = int(mic_device) if mic_device is not None and mic_device.isdigit() else mic_device
        heard.append(MicrophoneSound(mic_s, device))
    return heard + find_sounds([name for name in names if name != STANDARD_INPUT], tagger.labels)
