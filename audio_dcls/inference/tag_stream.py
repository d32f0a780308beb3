"""Tag many sounds: a batch holds windows of several, and the next sounds are decoded meanwhile.

Axes: W windows, T samples of a window.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from audio_dcls.data.sound.sound_stream import Sound, resampled_blocks
from audio_dcls.errors import ArgumentError, AudioFileError
from audio_dcls.inference.backends.backend import Backend
from audio_dcls.inference.plan import Plan
from audio_dcls.inference.results import TagFailure, TagResult
from audio_dcls.inference.sound_scores import SoundScores, merge_results
from audio_dcls.inference.windows import WindowSplitter, fill_window

WINDOWS_PER_BATCH = 4
MAX_OTHERS = 32
"""Most failures and ends in a batch, so that many broken files are reported without a long wait."""


@dataclass(frozen=True, eq=False)
class _Window:
    sound: SoundScores
    start: int
    samples: np.ndarray


@dataclass(frozen=True)
class _End:
    cuts: _Cuts


_Piece = _Window | _End | TagFailure


def tag_sounds(
    sounds: Iterable[Sound],
    backend: Backend,
    plan: Plan,
    *,
    windows_per_batch: int = WINDOWS_PER_BATCH,
    watch: Callable[[Sound], Callable[[np.ndarray], None] | None] | None = None,
) -> Iterator[TagResult | TagFailure]:
    """Tag sounds in their order, with one outcome per sound.

    One thread decodes a batch's worth of windows while the batch before it is computed; so no more than two batches
    of windows are in memory, however long the sounds are and however many. `watch` is called with each sound before it
    is read; the function that it returns is called with the sound's blocks, in the decoding thread.
    """
    stop = threading.Event()
    pieces = _pieces(sounds, plan, watch, stop)
    with ThreadPoolExecutor(1, thread_name_prefix="decode") as decoder:
        try:
            pending = decoder.submit(_take, pieces, windows_per_batch)
            while batch := pending.result():
                pending = decoder.submit(_take, pieces, windows_per_batch)
                _compute(batch, backend, plan)
                for piece in batch:
                    if isinstance(piece, _End):
                        yield piece.cuts.result()
                    elif isinstance(piece, TagFailure):
                        yield piece
        finally:  # a stopped microphone does not wait until its batch is full
            stop.set()


def _pieces(
    sounds: Iterable[Sound],
    plan: Plan,
    watch: Callable[[Sound], Callable[[np.ndarray], None] | None] | None,
    stop: threading.Event,
) -> Iterator[_Piece]:
    """Yield the windows of each sound and its end or failure, until all are read or `stop` is set."""
    for sound in sounds:
        cuts = _Cuts(sound.name, plan)
        on_block = None if watch is None else watch(sound)
        try:
            for block in resampled_blocks(sound, sample_rate_hz=plan.sample_rate_hz):
                if stop.is_set():
                    return
                if on_block is not None:
                    on_block(block)
                yield from cuts.push(block)
        except AudioFileError as error:
            yield TagFailure(sound.name, error.reason, str(error))
            continue
        if not cuts.num_samples:
            message = f"'{sound.name}' is shorter than one sample at {plan.sample_rate_hz} Hz; record it again"
            yield TagFailure(sound.name, "empty", message)
            continue
        yield from cuts.push(None)
        yield _End(cuts)


class _Cuts:
    """Cuts a sound into the windows of a plan, and of its `of_clips` if there is one."""

    def __init__(self, name: str, plan: Plan) -> None:
        plans = [plan] if plan.of_clips is None else [plan, plan.of_clips]
        self.parts = [(SoundScores(name, p), WindowSplitter(p.window_samples, p.hop_samples)) for p in plans]

    @property
    def num_samples(self) -> int:
        """Length of the sound so far."""
        return self.parts[0][1].num_samples

    def push(self, block: np.ndarray | None) -> Iterator[_Window]:
        """Take the next samples and yield the windows that they complete; None means the end of the sound."""
        for scores, splitter in self.parts:
            for start, window in splitter.finish() if block is None else splitter.push(block):
                filled = fill_window(window, scores.plan.clip_samples, scores.plan.options.short)
                yield _Window(scores, start, filled)

    def result(self) -> TagResult:
        """Return the result, once all windows are scored."""
        return merge_results([scores.result(self.num_samples) for scores, _ in self.parts])


def _take(pieces: Iterator[_Piece], num_windows: int) -> list[_Piece]:
    """Take the next pieces, with at most `num_windows` windows; an empty list means the end."""
    taken: list[_Piece] = []
    left = num_windows
    for piece in pieces:
        taken.append(piece)
        left -= isinstance(piece, _Window)
        if not left or len(taken) >= num_windows + MAX_OTHERS:
            break
    return taken


def _compute(batch: list[_Piece], backend: Backend, plan: Plan) -> None:
    """Score the windows of a batch, and add the scores to their sounds."""
    windows = [piece for piece in batch if isinstance(piece, _Window)]
    if not windows:
        return
    scores, embeddings = backend.run(np.stack([window.samples for window in windows]))
    if not plan.options.embeddings:
        embeddings = None
    elif embeddings is None:
        raise ArgumentError(f"`embeddings` (=True) are not available from '{backend.name}'; use the backend 'torch'")
    for index, window in enumerate(windows):
        window.sound.add(window.start, scores[index], None if embeddings is None else embeddings[index])
