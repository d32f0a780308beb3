"""Tag sounds with a trained model.

Axes: W windows, T samples of a window, C classes, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audio_dcls.choices import BackendName, Precision
from audio_dcls.data.sound.sound_stream import ArraySound, FileSound, Sound
from audio_dcls.errors import ArgumentError, AudioFileError
from audio_dcls.inference.backends.backend import Backend
from audio_dcls.inference.backends.exported_file import is_exported, load_exported
from audio_dcls.inference.build_backend import build_backend
from audio_dcls.inference.plan import Plan, check_options
from audio_dcls.inference.results import TagFailure, TagResult
from audio_dcls.inference.tag_stream import WINDOWS_PER_BATCH, tag_sounds
from audio_dcls.labels import LabelSet
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint
from audio_dcls.models.find_model import find_model

AnySound = str | Path | np.ndarray | torch.Tensor | Sound
Watch = Callable[[Sound], Callable[[np.ndarray], None] | None]


class Tagger:
    """A trained model with its labels.

    Args:
        backend: computes probabilities of windows.
        labels: the classes, in the order of its probabilities.
        sample_rate_hz: sample rate of the model.
        clip_samples: length of the clips it was trained on; its windows are this long, or are filled up to it.
        thresholds: (C,) fitted probabilities; None if none were fitted.

    >>> Tagger.load("missing.safetensors")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    audio_dcls.errors.CheckpointError: checkpoint 'missing.safetensors' does not exist; check the path...
    """

    def __init__(
        self,
        backend: Backend,
        labels: LabelSet,
        *,
        sample_rate_hz: int,
        clip_samples: int,
        thresholds: np.ndarray | None = None,
    ) -> None:
        self.backend = backend
        self.labels = labels
        self.sample_rate_hz = sample_rate_hz
        self.clip_samples = clip_samples
        self.thresholds = thresholds

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        device: torch.device | str = "cpu",
        backend: BackendName = "torch",
        precision: Precision = "fp32",
    ) -> Tagger:
        """Load a checkpoint.

        Args:
            source: a checkpoint file; a study, run or checkpoint folder; an .onnx or .xml file of `audio-dcls export`,
                which names its backend itself; or the name of published weights such as "convnext_tiny-dcls", which
                are fetched once. What exists as a path is taken as one.
            device: where PyTorch computes.
            backend: the library that computes.
            precision: "fp32", or "bf16" where the device has it.

        Raises:
            CheckpointError: it is missing, damaged, or of another kind.
            ArgumentError: the device, the backend or the precision is not available.
        """
        path = find_model(source)
        if is_exported(path):
            own = "openvino" if path.suffix == ".xml" else "onnx"
            if backend not in ("torch", own):
                raise ArgumentError(
                    f"`backend` (={backend!r}) is not that of '{path}', which {own} computes; leave it out"
                )
            return cls._of_graph(path, device=device, precision=precision)
        loaded = load_checkpoint(path)
        return cls(
            build_backend(loaded, backend, device=device, precision=precision),
            loaded.labels,
            sample_rate_hz=loaded.frontend.sample_rate_hz,
            clip_samples=loaded.frontend.clip_samples,
            thresholds=loaded.thresholds,
        )

    @classmethod
    def _of_graph(cls, path: Path, *, device: torch.device | str, precision: Precision) -> Tagger:
        if torch.device(device).type != "cpu":
            raise ArgumentError(f"`device` (={str(device)!r}) must be 'cpu' with '{path}'; others need a checkpoint")
        graph = load_exported(path, precision=precision)
        return cls(
            graph,
            graph.info.labels,
            sample_rate_hz=graph.info.sample_rate_hz,
            clip_samples=graph.info.clip_samples,
            thresholds=graph.info.thresholds,
        )

    def tag(
        self,
        sound: AnySound,
        *,
        sample_rate_hz: int | None = None,
        on_block: Callable[[np.ndarray], None] | None = None,
        **options: Any,
    ) -> TagResult:
        """Tag one sound of any length; it is read window by window, so memory does not grow with it.

        Args:
            sound: a file of any format, rate and channels; or samples, (T,) or (channels, T), with their rate.
            sample_rate_hz: rate of samples; a file has its own.
            on_block: called with every block of samples (T,) at the model's rate as it is read, from another thread.
            options: the fields of `TagOptions`.

        Raises:
            AudioFileError: the file is missing, empty, or not sound.
            ArgumentError: an argument is out of range.
        """
        stream = as_sound(sound, sample_rate_hz)
        (outcome,) = tag_sounds([stream], self.backend, self.plan(**options), watch=lambda _sound: on_block)
        if isinstance(outcome, TagFailure):
            raise AudioFileError(outcome.message, reason=outcome.reason)
        return outcome

    def tag_many(
        self,
        sounds: Iterable[AnySound],
        *,
        windows_per_batch: int = WINDOWS_PER_BATCH,
        watch: Watch | None = None,
        **options: Any,
    ) -> Iterator[TagResult | TagFailure]:
        """Tag sounds one after another; windows of several go through the model together.

        The next sounds are decoded while these are computed. One that cannot be read becomes a `TagFailure`, and the
        others are still tagged.

        Args:
            sounds: files; samples need `ArraySound`, which has their rate.
            windows_per_batch: windows computed at once, at least 1.
            watch: called with each sound before it is read; returns a function that takes its blocks, or None.
            options: the fields of `TagOptions`.

        Yields:
            One outcome per sound, in their order.

        Raises:
            ArgumentError: an argument is out of range.
        """
        plan = self.plan(**options)
        if windows_per_batch < 1:
            raise ArgumentError(f"`windows_per_batch` (={windows_per_batch}) must be at least 1")
        if isinstance(sounds, str | Path | np.ndarray | torch.Tensor) or not isinstance(sounds, Iterable):
            raise ArgumentError(
                f"`sounds` (a {type(sounds).__name__}) must be several sounds, such as a list of paths; `tag` takes "
                "one, and `sorted(Path(folder).rglob('*.wav'))` are those of a folder"
            )
        streams = (as_sound(sound, None) for sound in sounds)
        return tag_sounds(streams, self.backend, plan, windows_per_batch=windows_per_batch, watch=watch)

    def plan(self, **options: Any) -> Plan:
        """Check options against this model; an `ArgumentError` names one that is unknown or breaks its rule."""
        return Plan(
            check_options(options),
            self.labels,
            sample_rate_hz=self.sample_rate_hz,
            clip_samples=self.clip_samples,
            fitted=self.thresholds,
        )

    def scores(self, windows: np.ndarray) -> np.ndarray:
        """Probabilities (W, C), 0 to 1, of windows (W, T), float32 at `sample_rate_hz`, T = `clip_samples`."""
        return self.backend.run(windows)[0]


def as_sound(sound: AnySound, sample_rate_hz: int | None) -> Sound:
    """Return a path, or samples with their rate, as a `Sound`; a `Sound` is returned unchanged.

    `ArgumentError` for samples without a rate, or a path with one.
    """
    if isinstance(sound, str | Path):
        if sample_rate_hz is not None:
            raise ArgumentError(
                f"`sample_rate_hz` (={sample_rate_hz}) is for samples; the file '{sound}' has its own rate"
            )
        return FileSound(Path(sound))
    if isinstance(sound, torch.Tensor):
        sound = (sound.detach().float() if sound.is_floating_point() else sound.detach()).cpu().numpy()
    if not isinstance(sound, np.ndarray):
        if not hasattr(sound, "blocks"):
            raise ArgumentError(
                f"`sound` (a {type(sound).__name__}) must be a path, an array or a tensor with its rate, or a Sound; "
                "`tag_many` takes several"
            )
        return sound
    if sample_rate_hz is None:
        raise ArgumentError("`sample_rate_hz` (=None) must be given with samples: their sample rate")
    return ArraySound(sound, sample_rate_hz)
