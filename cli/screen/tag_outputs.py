"""What `audio-dcls tag` does with results: print, write and draw them."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer

from audio_dcls.data.sound.sound_stream import Sound
from audio_dcls.errors import ArgumentError
from audio_dcls.files import try_place
from audio_dcls.inference import Event, TagFailure, Tagger, TagResult
from audio_dcls.inference.embedding_files import EmbeddingFile
from audio_dcls.inference.event_files import check_one_sound, check_replaceable, event_form, write_events
from audio_dcls.inference.ray_tagging import RayWorkers, tag_with_ray
from audio_dcls.inference.tag_log import TagLog
from audio_dcls_cli.screen.progress import clip_progress, say, warn
from audio_dcls_cli.screen.tag_table import tag_table

BAR_FROM = 5
"""From this number of sounds on, a progress bar counts them."""


@dataclass(frozen=True)
class TagOutputs:
    """Where results are printed and written."""

    json: bool
    out: Path | None
    resume: bool
    timeline: Path | None
    plot: Path | None
    embeddings: Path | None
    truth: Path | None

    def check(self) -> None:
        """Refuse wrong names and combinations before anything is computed.

        Raises:
            ArgumentError: a name or combination is not possible.
        """
        places = [path for path in (self.out, self.timeline, self.plot, self.embeddings) if path is not None]
        for number, path in enumerate(places):
            if path.absolute() in [other.absolute() for other in places[:number]]:
                raise ArgumentError(f"'{path}' is named for two outputs, and one would be lost; name another file")
        if self.timeline is not None:
            event_form(self.timeline)
            check_replaceable(self.timeline)
            try_place(self.timeline)
        if self.embeddings is not None:
            EmbeddingFile(self.embeddings)
            if self.resume:
                raise ArgumentError(
                    "--embeddings cannot be used with --resume: OUT contains no embeddings; leave --resume out and "
                    "name another OUT"
                )


def run_tagging(
    tagger: Tagger,
    sounds: Sequence[Sound],
    options: dict[str, Any],
    outputs: TagOutputs,
    *,
    windows_per_batch: int,
    ray: RayWorkers | None = None,
) -> int:
    """Tag sounds, and print, write and draw each result when it is ready.

    Returns:
        The number of sounds that failed, including earlier ones of a resumed file.
    """
    pictures: dict[str, Path] = {}
    if outputs.plot is not None:
        from audio_dcls.inspection.tag_figure import check_figure_path  # it loads matplotlib

        pictures = picture_paths(outputs.plot, [sound.name for sound in sounds])
        for path in {path.parent: path for path in pictures.values()}.values():
            check_figure_path(path)
            try_place(path)
    if outputs.timeline is not None:
        check_one_sound(outputs.timeline, [sound.name for sound in sounds])
    with contextlib.ExitStack() as stack:
        log = _open_log(stack, outputs)
        left = [sound for sound in sounds if log is None or sound.name not in log.done]
        if log is not None and len(left) < len(sounds) and not outputs.json:
            say(f"{len(sounds) - len(left)} of {len(sounds)} sounds are done in {outputs.out}, {len(left)} left")
        writer = _Writer(tagger, outputs, _open_embeddings(stack, outputs), log, pictures, several=len(sounds) > 1)
        advance = stack.enter_context(clip_progress("tagging", len(left), quiet=outputs.json or len(left) < BAR_FROM))
        failures: list[str] = []
        for outcome in _outcomes(tagger, left, options, writer, windows_per_batch, ray):
            if isinstance(outcome, TagFailure):
                warn(outcome.message)
                failures.append(outcome.path)
                if log is not None:
                    log.add(outcome)
            else:
                writer.write(outcome)
            advance(1)
    if outputs.timeline is not None:
        events = log.events() if log is not None else writer.events
        num_events = write_events(outputs.timeline, events)
        if not outputs.json:
            say(f"{num_events} events: {outputs.timeline}")
    if writer.num_without_truth and not outputs.json:
        say(f"not in {outputs.truth}, shown without labels: {writer.num_without_truth} of {len(sounds)} sounds")
    num_failed = log.num_failed if log is not None else len(failures)
    if len(sounds) > 1 and not outputs.json:
        say(
            f"{len(sounds) - num_failed} of {len(sounds)} sounds tagged"
            + (f", {num_failed} failed" if num_failed else "")
        )
    return num_failed


def _outcomes(
    tagger: Tagger,
    sounds: Sequence[Sound],
    options: dict[str, Any],
    writer: _Writer,
    windows_per_batch: int,
    ray: RayWorkers | None,
) -> Iterator[TagResult | TagFailure]:
    if ray is None:
        return tagger.tag_many(sounds, windows_per_batch=windows_per_batch, watch=writer.watch, **options)
    return tag_with_ray(sounds, ray, options, windows_per_batch=windows_per_batch)


def _open_log(stack: contextlib.ExitStack, outputs: TagOutputs) -> TagLog | None:
    return None if outputs.out is None else stack.enter_context(TagLog(outputs.out, resume=outputs.resume))


def _open_embeddings(stack: contextlib.ExitStack, outputs: TagOutputs) -> EmbeddingFile | None:
    return None if outputs.embeddings is None else stack.enter_context(EmbeddingFile(outputs.embeddings))


class _Writer:
    """Prints, writes and draws results."""

    def __init__(
        self,
        tagger: Tagger,
        outputs: TagOutputs,
        embeddings: EmbeddingFile | None,
        log: TagLog | None,
        paths: dict[str, Path],
        *,
        several: bool,
    ) -> None:
        self.tagger, self.outputs, self.embeddings, self.log, self.several = tagger, outputs, embeddings, log, several
        self.events: list[tuple[str, Sequence[Event]]] = []
        self.pictures: dict[str, Any] = {}
        self.picture_paths = paths
        self.true_labels = None if outputs.truth is None else _true_labels(outputs.truth, tagger)
        self.num_without_truth = 0

    def watch(self, sound: Sound) -> Callable[[np.ndarray], None] | None:
        """The function that collects the picture of a sound, if sounds are drawn."""
        if self.outputs.plot is None:
            return None
        from audio_dcls.inspection.sound_picture import SoundPicture  # its package loads matplotlib

        picture = self.pictures[sound.name] = SoundPicture(self.tagger.sample_rate_hz)
        return picture.add

    def write(self, result: TagResult) -> None:
        """Print, write and draw one result."""
        self._show(result)
        if self.log is not None:
            self.log.add(result)
        elif result.events:
            self.events.append((result.path, result.events))
        if self.embeddings is not None:
            assert result.embedding is not None and result.window_embeddings is not None
            windows = result.windows
            self.embeddings.add(result.path, result.embedding, windows.start_s, windows.end_s, result.window_embeddings)
        if self.outputs.plot is not None:
            self._draw(result)

    def _show(self, result: TagResult) -> None:
        true = None
        if self.true_labels is not None:
            true = self.true_labels.get(result.path) or self.true_labels.get(str(Path(result.path).resolve()))
            self.num_without_truth += true is None
        if self.outputs.json:
            typer.echo(json.dumps(result.to_json_dict() | ({} if true is None else {"true_labels": list(true)})))
        elif self.outputs.out is None or not self.several:
            tag_table(result, true)

    def _draw(self, result: TagResult) -> None:
        from audio_dcls.inspection.tag_figure import draw_tags, save_figure  # it loads matplotlib

        figure = draw_tags(result, self.tagger.labels, self.pictures.pop(result.path))
        save_figure(figure, self.picture_paths[result.path])


def picture_paths(plot: Path, names: Sequence[str]) -> dict[str, Path]:
    """The picture of each sound: `plot`, or of several sounds files below it, in the sounds' folders if names repeat.

    >>> [path.as_posix() for path in picture_paths(Path("p"), ["site1/a.wav", "site2/a.wav", "site2/b.wav"]).values()]
    ['p/site1/a.wav.png', 'p/site2/a.wav.png', 'p/b.wav.png']
    """
    if len(names) == 1:
        return {names[0]: plot}
    short = {name: _short_name(name) for name in names}
    counts = Counter(text.casefold() for text in short.values())
    found: dict[str, Path] = {}
    used: set[str] = set()
    for name, text in short.items():
        place = plot
        if counts[text.casefold()] > 1:
            folders = Path(name).relative_to(Path(name).anchor).parent.parts
            place = plot.joinpath(*("_" if part == ".." else part for part in folders))
        target, number = place / f"{text}.png", 1
        while str(target).casefold() in used:
            number += 1
            target = place / f"{text}-{number}.png"
        used.add(str(target).casefold())
        found[name] = target
    return found


def _short_name(name: str) -> str:
    """The name of a sound's file, at most 240 bytes, so that an ending can be added."""
    last = "standard_input" if name == "-" else Path(name).name
    return last if len(os.fsencode(last)) <= 240 else os.fsdecode(os.fsencode(last)[:240])


def _true_labels(manifest: Path, tagger: Tagger) -> dict[str, tuple[str, ...]]:
    """The label names of each clip, by its file and by its id."""
    from audio_dcls.data import load_manifest  # it loads pandas

    found: dict[str, tuple[str, ...]] = {}
    for clip in load_manifest(manifest, tagger.labels).clips:
        found[str(clip.path.resolve())] = found[clip.id] = tuple(tagger.labels.names[c] for c in clip.labels)
    return found
