"""Decode by FFmpeg through PyAV, the extra `[video]`: the sound of m4a, aac, mp4, webm and mkv.

T samples at the file's own rate, C channels. Sample 0 is the first that FFmpeg returns; it excludes the codec's delay
if the container gives it. For a clip far into the file, the decoder seeks: it decodes `_PREROLL_S` before the clip and
drops them, so that the codec has settled. The result is the same, to the sample, as that part of the whole file, except
for the noise that some AAC lets the decoder generate, which is drawn as if the file began there.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audio_dcls.data.sound.sound_file import (
    beyond_the_end,
    check_is_whole,
    check_rate,
    id3_bytes,
    no_frame,
    read_start,
    sample_range,
    to_mono,
    unusable,
)
from audio_dcls.data.sound.stored_sound import EncodedSound, open_bytes

if TYPE_CHECKING:
    import av.container

_PREROLL_S = 1.0
"""AAC needs one frame (23 ms) and Opus 80 ms (RFC 7845, section 4.6); more would change nothing that can be heard."""
_MARGIN_S = 2.0
"""A clip that starts before this time is decoded without seeking."""
_BLOCK_S = 1.0
"""Length of the blocks of a whole file."""
_HEADER_BYTES = 12
_EBML = b"\x1a\x45\xdf\xa3"
_MP4_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip")
_RAW_AAC = "aac"
"""FFmpeg's name of AAC frames without a container; they have no length in a header."""


def is_video(path: Path | EncodedSound) -> bool:
    r"""True for a file that FFmpeg decodes here: MP4 and related forms, Matroska and WebM, or raw AAC (ADTS).

    The first bytes decide, not the name: an MP4 that is named .wav is an MP4. Raise an AudioFileError (unreadable) if
    they cannot be read.

    >>> is_video(EncodedSound(b"\0\0\0\x1cftypM4A ", "a.wav")), is_video(EncodedSound(b"RIFF....WAVE", "a.mp4"))
    (True, False)
    """
    header = read_start(path, _HEADER_BYTES)
    if tag_bytes := id3_bytes(header):
        return _is_adts(read_start(path, 2, tag_bytes))
    return header[4:8] in _MP4_BOXES or header.startswith(_EBML) or _is_adts(header)


def _is_adts(header: bytes) -> bool:
    """True if the header begins with 12 bits of ones and layer 0 (ISO 13818-7, 6.2); MP3 has layer 3."""
    return len(header) > 1 and header[0] == 0xFF and header[1] & 0xF6 == 0xF0


def decode_video(path: Path | EncodedSound, start_s: float | None, end_s: float | None) -> tuple[np.ndarray, int]:
    """Decode a clip, mixed down to mono: the waveform (T,) float32, and its rate in Hz.

    Raise an AudioFileError: empty, unreadable (also if the extra is not installed) or out_of_range.
    """
    with _opened(path) as track:
        found = track.read(start_s, end_s, may_seek=True)
    if found is None:
        with _opened(path) as track:
            found = track.read(start_s, end_s, may_seek=False)
    assert found is not None
    return found, track.rate_hz


def video_blocks(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Decode a whole file block by block, mixed down to mono (T,) float32, with the rate in Hz.

    Raise an AudioFileError (empty or unreadable) if it cannot be decoded; for a truncated file, after its last sample.
    """
    with _opened(path) as track:
        for block in track.blocks():
            yield block, track.rate_hz


def video_duration_s(path: Path) -> float:
    """Length of a file in seconds, from its header; frames of raw AAC are counted without being decoded.

    Raise an AudioFileError (empty or unreadable) if there is no sound in it.
    """
    with _opened(path) as track:
        duration_s = track.duration_s
        return track.counted_duration_s() if duration_s is None else duration_s


class _Track:
    """The sound of an open container, which is at its beginning; `path` is for messages."""

    def __init__(self, container: av.container.InputContainer, path: Path | EncodedSound) -> None:
        stream = container.streams.best("audio")
        if stream is None:
            raise unusable(path, "empty", "is a video without sound; remove the clip or fetch it again")
        self.container, self.path = container, path
        self.stream: Any = stream
        self._frames: Iterator[av.AudioFrame] = container.decode(self.stream)
        first = next(self._frames, None)
        if first is None:
            raise no_frame(path)
        self._first = first
        self.rate_hz = first.sample_rate
        check_rate(self.rate_hz, path)

    @property
    def duration_s(self) -> float | None:
        """Length by the container's header; None if unknown."""
        if self.container.format.name == _RAW_AAC:
            return None
        if self.stream.duration:
            return float(self.stream.duration * self.stream.time_base)
        if len(self.container.streams) == 1 and self.container.duration:
            return self.container.duration / 1e6
        return None

    def counted_duration_s(self) -> float:
        """Length as the sum of all packets."""
        self._frames = iter(())
        self.container.seek(0)
        packets = self.container.demux(self.stream)
        return float(sum(packet.duration or 0 for packet in packets) * self.stream.time_base)

    def read(self, start_s: float | None, end_s: float | None, *, may_seek: bool) -> np.ndarray | None:
        """A clip as mono (T,); None if seeking missed it. Raise an AudioFileError (out_of_range or unreadable)."""
        first, last = sample_range(start_s, end_s, self.rate_hz, math.inf)
        position = 0
        frames: Iterator[av.AudioFrame] = itertools.chain([self._first], self._frames)
        if may_seek and first > _MARGIN_S * self.rate_hz:
            sought = self._seek(first - round(_PREROLL_S * self.rate_hz))
            if sought is None:
                return None
            position, frames = sought
        blocks, end = self._collect(frames, position, first, last)
        waveform = np.concatenate([np.zeros(0, dtype=np.float32), *blocks])
        duration_s = self.duration_s
        promised = end if duration_s is None else round(duration_s * self.rate_hz)
        if first >= promised and not len(waveform):
            raise beyond_the_end(self.path, promised / self.rate_hz, start_s)
        check_is_whole(len(waveform), min(last, promised) - first, self.rate_hz, self.path)
        return waveform

    def blocks(self) -> Iterator[np.ndarray]:
        """All samples from the beginning as mono (T,), about `_BLOCK_S` at a time; raise an AudioFileError."""
        blocks: list[np.ndarray] = []
        num_pending = num_read = 0
        for frame in itertools.chain([self._first], self._frames):
            self._check_frame(frame)
            blocks.append(_mono(frame))
            num_pending += frame.samples
            if num_pending >= _BLOCK_S * self.rate_hz:
                yield np.concatenate(blocks)
                num_read += num_pending
                blocks, num_pending = [], 0
        if blocks:
            yield np.concatenate(blocks)
        if self.duration_s is not None:
            check_is_whole(num_read + num_pending, round(self.duration_s * self.rate_hz), self.rate_hz, self.path)

    def _check_frame(self, frame: av.AudioFrame) -> None:
        if frame.sample_rate != self.rate_hz:
            problem = f"changes its rate from {self.rate_hz} to {frame.sample_rate} Hz; convert it to flac"
            raise unusable(self.path, "unreadable", problem)

    def _seek(self, target: int) -> tuple[int, Iterator[av.AudioFrame]] | None:
        """The place of a frame before sample `target`, and the frames from there on; None if seeking fails."""
        time_base = self.stream.time_base
        origin = self._first.pts or 0
        ticks_per_sample = 1 / (self.rate_hz * time_base)
        try:
            self.container.seek(origin + int(target * ticks_per_sample), stream=self.stream)
            frames = self.container.decode(self.stream)
            landed = next(frames, None)
        except (PermissionError, EOFError):  # not seekable, or after the end
            return None
        if landed is None or landed.pts is None:
            return None
        position = _on_grid(
            float((landed.pts - origin) / ticks_per_sample),
            self._first.samples,
            landed.samples,
            tolerance=float(1 / ticks_per_sample) + 1,
        )
        return (position, itertools.chain([landed], frames)) if position <= target + self.rate_hz // 2 else None

    def _collect(
        self, frames: Iterator[av.AudioFrame], position: int, first: int, last: float
    ) -> tuple[list[np.ndarray], int]:
        """Samples `first` .. `last` - 1 in blocks, and the place after the last decoded sample."""
        blocks = []
        for frame in frames:
            self._check_frame(frame)
            if position + frame.samples > first:
                stop = min(last - position, frame.samples)
                blocks.append(_mono(frame)[max(first - position, 0) : int(stop)])
            position += frame.samples
            if position >= last:
                break
        return blocks, position


def _on_grid(position: float, first_samples: int, frame_samples: int, tolerance: float) -> int:
    """Place of a frame in samples. Matroska rounds it to milliseconds; frames of equal length give the exact place.

    `position` is the place by the container's clock, with an error up to `tolerance`. The file's first frame has
    `first_samples`, as it may lack the codec's delay, and every other one `frame_samples`.

    >>> _on_grid(14 * 48, 648, 960, tolerance=49.0), _on_grid(700.4, 648, 960, tolerance=1.0)
    (648, 700)
    """
    on_grid = first_samples + frame_samples * round((position - first_samples) / frame_samples)
    return on_grid if abs(on_grid - position) <= tolerance else round(position)


def _mono(frame: av.AudioFrame) -> np.ndarray:
    values = frame.to_ndarray()
    return to_mono(values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels))


@contextmanager
def _opened(path: Path | EncodedSound) -> Iterator[_Track]:
    """The sound of a file; errors of FFmpeg become an AudioFileError."""
    if importlib.util.find_spec("av") is None:
        problem = "is an MP4, WebM, Matroska or AAC file, which needs PyAV, and it is not installed"
        remedy = 'pip install "audio-dcls[video]", or convert the file to flac'
        raise unusable(path, "unreadable", f"{problem}: {remedy}")
    import av.error  # of the extra `[video]`

    try:
        with av.open(open_bytes(path) if isinstance(path, EncodedSound) else str(path), mode="r") as container:
            yield _Track(container, path)
    except av.error.FFmpegError as error:
        problem = f"cannot be decoded ({error.strerror}): it is damaged, truncated, or of a codec that FFmpeg"
        raise unusable(path, "unreadable", f"{problem} does not read; fetch it again, or convert it to flac") from error
