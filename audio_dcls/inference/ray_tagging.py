"""Tag many sounds on the machines of a Ray cluster (the extra `[ray]`), with one Tagger per worker."""

from __future__ import annotations

import dataclasses
import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audio_dcls.choices import BackendName, Precision
from audio_dcls.data.sound.sound_stream import FileSound, Sound
from audio_dcls.data.sources import ClipSound
from audio_dcls.errors import ArgumentError
from audio_dcls.extras import need_package
from audio_dcls.inference.results import TagFailure, TagResult

SOUNDS_PER_BATCH = 16
"""Sounds per call of a worker: some seconds of work, so little is repeated if a worker dies."""


@dataclass(frozen=True)
class RayWorkers:
    """Settings of the workers.

    Args:
        source: the model, at a path that every machine sees.
        num_workers: processes with a model each, at least 1; by default one per processor or GPU of the cluster.
        address: address of the cluster, as `ray.init` takes it; None starts one on this machine.
        device: where each worker computes; with "cuda" each has its own GPU.
    """

    source: str
    num_workers: int | None = None
    address: str | None = None
    device: str = "cpu"
    backend: BackendName = "torch"
    precision: Precision = "fp32"

    @property
    def has_gpus(self) -> bool:
        """True if each worker computes on a GPU."""
        return self.device.startswith("cuda")


def tag_with_ray(
    sounds: Sequence[Sound], workers: RayWorkers, options: dict[str, Any], *, windows_per_batch: int = 4
) -> Iterator[TagResult | TagFailure]:
    """Tag sounds on a Ray cluster, with one outcome per sound; files are at paths that every machine sees.

    A worker that dies is replaced and its sounds are tagged again; results are in the order of the sounds. Scores
    equal those of `Tagger.tag_many`, except for rounding, as batches hold other windows. `ArgumentError` if Ray is not
    installed or cannot be reached, or if a sound exists only in this process.
    """
    if workers.num_workers is not None and workers.num_workers < 1:
        raise ArgumentError(f"`num_workers` (={workers.num_workers}) must be at least 1")
    for sound in sounds:
        if not isinstance(sound, FileSound | ClipSound):
            raise ArgumentError(
                f"'{sound.name}' exists only in this process, so Ray's workers cannot read it; give files"
            )
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # Ray warns about how it starts actors
    ray = need_package("ray", "ray")
    data = need_package("ray.data", "ray")
    if not sounds:
        return
    _connect(ray, workers.address)
    logging.getLogger("ray.data").setLevel("ERROR")
    context = data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    resources = ray.cluster_resources()
    count = workers.num_workers or max(1, int(resources.get("GPU" if workers.has_gpus else "CPU", 1)))
    num_cpus = max(1, int(resources.get("CPU", 1)) // count)
    rows = [{"sound": pickle.dumps(_absolute(sound))} for sound in sounds]
    blocks = min(len(rows), max(count, -(-len(rows) // SOUNDS_PER_BATCH)))
    tagged = data.from_items(rows, override_num_blocks=blocks).map_batches(
        _Worker,
        fn_constructor_args=(workers, options, windows_per_batch, num_cpus),
        batch_size=SOUNDS_PER_BATCH,
        concurrency=count,
        num_cpus=num_cpus,
        num_gpus=1 if workers.has_gpus else None,
    )
    names = [sound.name for sound in sounds]
    for name, row in zip(names, tagged.iter_rows(), strict=True):
        yield _named(pickle.loads(row["outcome"]), name)


class _Worker:
    """A Tagger in a worker process of Ray."""

    def __init__(self, workers: RayWorkers, options: dict[str, Any], windows_per_batch: int, num_threads: int) -> None:
        import torch

        from audio_dcls.inference.tagger import Tagger

        torch.set_num_threads(num_threads)
        device = "cuda" if workers.has_gpus else workers.device
        self.options, self.windows_per_batch = options, windows_per_batch
        self.tagger = Tagger.load(workers.source, device=device, backend=workers.backend, precision=workers.precision)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[bytes]]:
        """Tag a batch of sounds."""
        sounds = [pickle.loads(content) for content in batch["sound"]]
        outcomes = self.tagger.tag_many(sounds, windows_per_batch=self.windows_per_batch, **self.options)
        return {"outcome": [pickle.dumps(outcome) for outcome in outcomes]}


def _connect(ray: Any, address: str | None) -> None:
    """Join a cluster or start one here, unless this process has joined one."""
    if ray.is_initialized():
        return
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"the Ray cluster at '{address or 'this machine'}' cannot be joined ({detail}); check --ray-address"
        raise ArgumentError(message) from error


def _absolute(sound: Sound) -> Sound:
    """Return the sound with an absolute path, as workers have another working directory."""
    if isinstance(sound, FileSound):
        return FileSound(Path(os.path.abspath(sound.path)))
    if isinstance(sound, ClipSound) and "://" not in str(sound.clip.path):
        return ClipSound(dataclasses.replace(sound.clip, path=Path(os.path.abspath(sound.clip.path))))
    return sound


def _named(outcome: TagResult | TagFailure, name: str) -> TagResult | TagFailure:
    """Return an outcome with the name that the sound has in this process."""
    if outcome.path == name:
        return outcome
    if isinstance(outcome, TagFailure):
        message = outcome.message.replace(f"'{outcome.path}'", f"'{name}'")
        return TagFailure(name, outcome.reason, message)
    return dataclasses.replace(outcome, path=name)
