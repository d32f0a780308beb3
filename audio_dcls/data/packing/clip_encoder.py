"""One clip of a manifest -> what is stored of it, or why nothing is.

T samples.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import soundfile

from audio_dcls.data.packing.plan import PackSettings
from audio_dcls.data.sound.stored_sound import EncodedSound, PcmSound
from audio_dcls.data.stores.codec import Codec, encode, stored_rate_hz
from audio_dcls.data.stores.index import LeftOut
from audio_dcls.data.stores.sources import read_clip_audio, stored_sound
from audio_dcls.data.table.clip import Clip
from audio_dcls.errors import AudioFileError
from audio_dcls.files import file_sha256


class PackedClip(NamedTuple):
    """A clip as a row of a shard."""

    clip: Clip
    content: bytes
    """A sound file."""
    file_name: str
    """Its name, whose extension says what it is."""
    sha256: bytes
    """Digest of the content."""
    start_s: float | None
    """Where the clip starts in the content; None is its beginning."""
    end_s: float | None
    """Where it ends there; None is its end."""


def encode_clip(clip: Clip, settings: PackSettings) -> PackedClip | LeftOut:
    """Read a clip as training would, and encode it.

    Args:
        clip: of any source.
        settings: codec and rate.

    Returns:
        The row, or, for a clip that cannot be used, its name and the reason.
    """
    try:
        if settings.codec is Codec.source:
            return _keep_source(clip, settings)
        _check_content(clip)
        rate_hz = stored_rate_hz(settings.codec, settings.sample_rate_hz)
        waveform = read_clip_audio(clip, sample_rate_hz=rate_hz, end_s=clip.end_s)
    except AudioFileError as error:
        return LeftOut(clip.id, str(clip.path), clip.split, error.reason, str(error))
    content = encode(waveform, rate_hz, settings.codec)
    name = f"{clip.id}{settings.codec.suffix}"
    return PackedClip(clip, content, name, hashlib.sha256(content).digest(), None, None)


def _keep_source(clip: Clip, settings: PackSettings) -> PackedClip:
    content, name = _stored_bytes(clip)
    digest = hashlib.sha256(content)
    _compare(clip, digest.hexdigest())
    read_clip_audio(clip, sample_rate_hz=settings.sample_rate_hz, end_s=clip.end_s)  # raises where it cannot be used
    return PackedClip(clip, content, name, digest.digest(), clip.start_s, clip.end_s)


def _stored_bytes(clip: Clip) -> tuple[bytes, str]:
    """The file a clip's sound is stored as, and a name for it."""
    stored = stored_sound(clip)
    if isinstance(stored, EncodedSound):
        return stored.content, clip.id
    if isinstance(stored, PcmSound):
        stream = io.BytesIO()
        subtype = "PCM_16" if stored.samples.dtype.kind == "i" else "FLOAT"
        soundfile.write(stream, stored.samples, stored.sample_rate_hz, format="WAV", subtype=subtype)
        return stream.getvalue(), f"{clip.id}.wav"
    try:
        return stored.read_bytes(), stored.name
    except FileNotFoundError as error:
        message = f"'{stored}' does not exist; check the path, or remove the clip"
        raise AudioFileError(message, reason="missing") from error
    except OSError as error:
        raise _unreadable(stored, error) from error


def _check_content(clip: Clip) -> None:
    """Refuse a file that is not the one listed; one that is not there is left to the reader."""
    if clip.sha256 is None or clip.row is not None or not clip.path.is_file():
        return
    try:
        _compare(clip, file_sha256(clip.path))
    except OSError as error:
        raise _unreadable(clip.path, error) from error


def _unreadable(path: Path, error: OSError) -> AudioFileError:
    message = f"'{path}' cannot be read ({error.strerror or error}); check its disk and permissions"
    return AudioFileError(message, reason="unreadable")


def _compare(clip: Clip, found: str) -> None:
    if clip.sha256 is not None and clip.row is None and found != clip.sha256:
        raise AudioFileError(
            f"'{clip.path}' has the SHA-256 {found[:12]}..., listed is {clip.sha256[:12]}...; "
            "fetch the file again, or clear the cell to accept it",
            reason="changed",
        )
