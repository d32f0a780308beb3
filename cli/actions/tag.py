"""`audio-dcls tag`: find the sounds and the model, and tag."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import typer

from audio_dcls.choices import BackendName, Precision
from audio_dcls.data.sound.microphone import MicrophoneSound
from audio_dcls.data.sound.sound_stream import Sound
from audio_dcls.data.sound.standard_input import standard_input
from audio_dcls.errors import ArgumentError
from audio_dcls.inference import Tagger
from audio_dcls.inference.ray_tagging import RayWorkers
from audio_dcls.inference.sound_inputs import find_sounds
from audio_dcls_cli.inputs import choose_model
from audio_dcls_cli.screen.progress import say
from audio_dcls_cli.screen.tag_outputs import TagOutputs, run_tagging

FAILED = 1
STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Sources:
    """Where the sounds come from."""

    names: list[str]
    raw: str | None
    mic_s: float | None
    mic_device: str | None


@dataclass(frozen=True)
class Compute:
    """The model and what computes it."""

    checkpoint: str | None
    backend: BackendName
    precision: Precision
    device: str
    windows_per_batch: int
    engine: str
    ray_address: str | None
    num_workers: int | None
    yes: bool


def tag(sources: Sources, compute: Compute, outputs: TagOutputs, options: dict[str, Any]) -> None:
    """Tag sounds; exit with code 1 if one of them failed."""
    if outputs.resume and outputs.out is None:
        raise ArgumentError("--resume continues the file of --out, but --out is missing; give --out FILE.jsonl")
    if not sources.names and sources.mic_s is None:
        raise ArgumentError(
            "no SOUND is named; give files, folders, a manifest, - for standard input, or --mic SECONDS"
        )
    outputs.check()
    path = choose_model(compute.checkpoint, yes=compute.yes, quiet=outputs.json)
    if not outputs.json:
        say(f"Model: {path}")
    tagger = Tagger.load(path, backend=compute.backend, precision=compute.precision, device=compute.device)
    tagger.plan(**options)
    num_failed = run_tagging(
        tagger,
        _find_sounds(sources, tagger),
        options,
        outputs,
        windows_per_batch=compute.windows_per_batch,
        ray=_ray_workers(compute, str(path.absolute()), outputs),
    )
    if num_failed:
        raise typer.Exit(FAILED)


def number_or_name(text: str | None) -> float | str | None:
    """A threshold as a number if it is one; the tagger checks a name."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _ray_workers(compute: Compute, source: str, outputs: TagOutputs) -> RayWorkers | None:
    """The workers of Ray; None if this process tags by itself."""
    if compute.engine == "local":
        given = "--workers" if compute.num_workers is not None else "--ray-address" if compute.ray_address else None
        if given is not None:
            raise ArgumentError(f"{given} is an option of Ray; add --engine ray, or leave it out")
        return None
    if outputs.plot is not None:
        raise ArgumentError(f"--plot {outputs.plot} draws sounds of this process; leave it out with --engine ray")
    return RayWorkers(
        source,
        num_workers=compute.num_workers,
        address=compute.ray_address,
        device=compute.device,
        backend=compute.backend,
        precision=compute.precision,
    )


def _find_sounds(sources: Sources, tagger: Tagger) -> list[Sound]:
    sounds: list[Sound] = []
    if STANDARD_INPUT in sources.names:
        sounds.append(standard_input(sys.stdin.buffer, sources.raw))
    elif sources.raw is not None:
        raise ArgumentError(f"--raw {sources.raw} describes standard input, but - is not among the sounds; add it")
    if sources.mic_s is not None:
        device = sources.mic_device
        sounds.append(MicrophoneSound(sources.mic_s, int(device) if device and device.isdigit() else device))
    return sounds + find_sounds([name for name in sources.names if name != STANDARD_INPUT], tagger.labels)
