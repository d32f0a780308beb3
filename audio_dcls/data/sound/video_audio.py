"""Decoding by FFmpeg through PyAV, the extra `[video]`: the sound of m4a, aac, mp4, webm and mkv.

T samples at the file's own rate, C channels. Sample 0 is the first that FFmpeg gives, which leaves out the codec's
delay where the container tells it. A clip far into the file is sought: `PREROLL_S` before it is decoded and dropped,
so that the codec has settled. What comes is that stretch of the whole file to the sample, but for the noise some AAC
leaves to its decoder to make up, which is drawn as if the file began there.
"""

from __future__ import annotations

import importlib.util
import io
import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audio_dcls.data.sound.sound_file import beyond_the_end, check_is_whole, check_rate, downmix, no_frame, read_start
from audio_dcls.data.sound.stored_sound import EncodedSound, sound_name
from audio_dcls.errors import AudioFileError

if TYPE_CHECKING:
    import av.container

PREROLL_S = 1.0
"""AAC needs one frame (23 ms) and Opus 80 ms (RFC 7845, section 4.6); what precedes them is inaudible, not zero."""
MARGIN_S = 2.0
"""A clip that starts before this is reached without seeking."""
BLOCK_S = 1.0
"""Length of the pieces a whole file is given in."""
HEADER_BYTES = 12
ID3_HEADER_BYTES = 10
EBML = b"\x1a\x45\xdf\xa3"
MP4_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip")
RAW_AAC = "aac"
"""FFmpeg's name of AAC frames without a container, which say nothing of their number."""


def is_video(path: Path | EncodedSound) -> bool:
    r"""Whether a file is one that FFmpeg decodes here: MP4 and its kin, Matroska and WebM, or raw AAC (ADTS).

    Its first bytes tell, whatever its name: an MP4 that is called .wav is an MP4.

    Raises:
        AudioFileError: reason unreadable.

    >>> is_video(EncodedSound(b"\0\0\0\x1cftypM4A ", "a.wav")), is_video(EncodedSound(b"RIFF....WAVE", "a.mp4"))
    (True, False)
    """
    header = read_start(path, HEADER_BYTES)
    if header.startswith(b"ID3") and len(header) >= ID3_HEADER_BYTES:  # https://id3.org/id3v2.4.0-structure, 3.1
        size = sum((byte & 0x7F) << shift for byte, shift in zip(header[6:10], (21, 14, 7, 0), strict=True))
        return _is_adts(read_start(path, 2, ID3_HEADER_BYTES + size))
    return header[4:8] in MP4_BOXES or header.startswith(EBML) or _is_adts(header)


def _is_adts(header: bytes) -> bool:
    """Whether 12 bits of ones and layer 0 come first (ISO 13818-7, 6.2); MP3 has layer 3."""
    return len(header) > 1 and header[0] == 0xFF and header[1] & 0xF6 == 0xF0


def decode_video(path: Path | EncodedSound, start_s: float | None, end_s: float | None) -> tuple[np.ndarray, int]:
    """Decode a clip, mixed down to mono.

    Args:
        path: the file, or its bytes.
        start_s: where the clip starts; None is the file's beginning.
        end_s: where it ends; None is the file's end.

    Returns:
        The waveform (T,) float32, and its rate in Hz.

    Raises:
        AudioFileError: reason empty, unreadable or out_of_range; unreadable too where the extra is not installed.
    """
    with _opened(path) as track:
        found = track.read(start_s, end_s, may_seek=True)
    if found is None:
        with _opened(path) as track:
            found = track.read(start_s, end_s, may_seek=False)
    assert found is not None
    return found, track.rate_hz


def video_blocks(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """A whole file piece by piece, mixed down to mono.

    Yields:
        The next samples (T,) float32, and their rate in Hz.

    Raises:
        AudioFileError: reason empty or unreadable; a truncated file says so once its last sample was given.
    """
    with _opened(path) as track:
        for block in track.blocks():
            yield block, track.rate_hz


def video_duration_s(path: Path) -> float:
    """Length of a file in seconds, from its header; raw AAC is counted frame by frame, none decoded.

    Raises:
        AudioFileError: reason empty or unreadable.
    """
    with _opened(path) as track:
        duration_s = track.duration_s
        return track.counted_duration_s() if duration_s is None else duration_s


class _Track:
    """The sound of an open container.

    Args:
        container: at its beginning.
        path: for messages.
    """

    def __init__(self, container: av.container.InputContainer, path: Path | EncodedSound) -> None:
        stream = container.streams.best("audio")
        if stream is None:
            message = f"{sound_name(path)} is a video without sound; remove the clip or fetch it again"
            raise AudioFileError(message, reason="empty")
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
        """Length as the container says; None where it does not."""
        if self.container.format.name == RAW_AAC:
            return None
        if self.stream.duration:
            return float(self.stream.duration * self.stream.time_base)
        if len(self.container.streams) == 1 and self.container.duration:
            return self.container.duration / 1e6
        return None

    def counted_duration_s(self) -> float:
        """Length from the lengths of all packets."""
        self._frames = iter(())
        self.container.seek(0)
        packets = self.container.demux(self.stream)
        return float(sum(packet.duration or 0 for packet in packets) * self.stream.time_base)

    def read(self, start_s: float | None, end_s: float | None, *, may_seek: bool) -> np.ndarray | None:
        """A stretch as mono (T,); None where it was sought and missed.

        Raises:
            AudioFileError: reason out_of_range or unreadable.
        """
        first = round((start_s or 0.0) * self.rate_hz)
        last = math.inf if end_s is None else round(end_s * self.rate_hz)
        position = 0
        frames: Iterator[av.AudioFrame] = itertools.chain([self._first], self._frames)
        if may_seek and first > MARGIN_S * self.rate_hz:
            sought = self._seek(first - round(PREROLL_S * self.rate_hz))
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
        """All samples from the beginning, (T,) some `BLOCK_S` at a time.

        Raises:
            AudioFileError: reason unreadable.
        """
        pieces: list[np.ndarray] = []
        num_pending = num_read = 0
        for frame in itertools.chain([self._first], self._frames):
            self._check_frame(frame)
            pieces.append(_mono(frame))
            num_pending += frame.samples
            if num_pending >= BLOCK_S * self.rate_hz:
                yield np.concatenate(pieces)
                num_read += num_pending
                pieces, num_pending = [], 0
        if pieces:
            yield np.concatenate(pieces)
        if self.duration_s is not None:
            check_is_whole(num_read + num_pending, round(self.duration_s * self.rate_hz), self.rate_hz, self.path)

    def _check_frame(self, frame: av.AudioFrame) -> None:
        if frame.sample_rate != self.rate_hz:
            raise AudioFileError(
                f"{sound_name(self.path)} changes its rate from {self.rate_hz} to {frame.sample_rate} Hz on the "
                "way; convert it to flac",
                reason="unreadable",
            )

    def _seek(self, target: int) -> tuple[int, Iterator[av.AudioFrame]] | None:
        """Frames from before sample `target` on, and the place of the first; None where that cannot be had."""
        time_base = self.stream.time_base
        origin = self._first.pts or 0
        ticks_a_sample = 1 / (self.rate_hz * time_base)
        try:
            self.container.seek(origin + int(target * ticks_a_sample), stream=self.stream)
            frames = self.container.decode(self.stream)
            landed = next(frames, None)
        except (PermissionError, EOFError):  # not seekable, or behind the end
            return None
        if landed is None or landed.pts is None:
            return None
        position = _on_grid(
            float((landed.pts - origin) / ticks_a_sample),
            self._first.samples,
            landed.samples,
            tolerance=float(1 / ticks_a_sample) + 1,
        )
        return (position, itertools.chain([landed], frames)) if position <= target + self.rate_hz // 2 else None

    def _collect(
        self, frames: Iterator[av.AudioFrame], position: int, first: int, last: float
    ) -> tuple[list[np.ndarray], int]:
        """Samples `first` .. `last` - 1 in pieces, and the place after the last that was decoded."""
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
    """Where a frame starts. Matroska tells whole milliseconds: frames of equal length say it to the sample.

    Args:
        position: by the container's clock, in samples.
        first_samples: length of the file's first frame, of which the codec's delay may have been cut.
        frame_samples: length of every other one.
        tolerance: how far the clock may be off, in samples.

    >>> _on_grid(14 * 48, 648, 960, tolerance=49.0), _on_grid(700.4, 648, 960, tolerance=1.0)
    (648, 700)
    """
    on_grid = first_samples + frame_samples * round((position - first_samples) / frame_samples)
    return on_grid if abs(on_grid - position) <= tolerance else round(position)


def _mono(frame: av.AudioFrame) -> np.ndarray:
    """(T,) float32, the mean over the channels, full scale at 1."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype.kind == "u":
        values = (values.astype(np.float32) - 128) / 128
    elif values.dtype.kind == "i":
        values = values.astype(np.float32) / np.float32(2 ** (8 * values.dtype.itemsize - 1))
    return downmix(values.astype(np.float32, copy=False).T)


@contextmanager
def _opened(path: Path | EncodedSound) -> Iterator[_Track]:
    """The sound of a file; what FFmpeg says becomes an AudioFileError."""
    if importlib.util.find_spec("av") is None:
        raise AudioFileError(
            f"{sound_name(path)} is an MP4, WebM, Matroska or AAC file, which PyAV decodes, and it is not installed: "
            'pip install "audio-dcls[video]", or convert the file to flac',
            reason="unreadable",
        )
    import av.error

    try:
        with av.open(io.BytesIO(path.content) if isinstance(path, EncodedSound) else str(path), mode="r") as container:
            yield _Track(container, path)
    except av.error.FFmpegError as error:
        raise AudioFileError(
            f"{sound_name(path)} cannot be decoded ({error.strerror}): it is damaged, truncated, or of a codec that "
            "FFmpeg does not read; fetch it again, or convert it to flac",
            reason="unreadable",
        ) from error
