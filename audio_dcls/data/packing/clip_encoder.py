"""Encode one clip of a manifest for a pack, or report why it cannot be packed."""

from __future__ import annotations

import hashlib
import io
from typing import NamedTuple

import soundfile

from audio_dcls.data.packing.plan import PackSettings
from audio_dcls.data.sound.sound_file import cannot_be_read, unlisted_content, unusable
from audio_dcls.data.sound.stored_sound import EncodedSound, PcmSound
from audio_dcls.data.sources import read_clip_audio, stored_sound
from audio_dcls.data.stores.codec import Codec, encode, stored_rate_hz
from audio_dcls.data.stores.index import LeftOut
from audio_dcls.data.table.clip import Clip
from audio_dcls.errors import AudioFileError
from audio_dcls.files import file_sha256, path_remedy


class PackedClip(NamedTuple):
    """A clip as one row of a shard."""

    clip: Clip
    content: bytes
    """The bytes of a sound file."""
    file_name: str
    """Name of the file, whose extension gives the format."""
    sha256: bytes
    start_s: float | None
    end_s: float | None
    """Times of the clip in the content; None is its beginning or end."""


def encode_clip(clip: Clip, settings: PackSettings) -> PackedClip | LeftOut:
    """Read a clip as for training, and encode it as a row; or return its name and the reason why it cannot be used."""
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
    # Raises an error if the clip cannot be used.
    read_clip_audio(clip, sample_rate_hz=settings.sample_rate_hz, end_s=clip.end_s)
    return PackedClip(clip, content, name, digest.digest(), clip.start_s, clip.end_s)


def _stored_bytes(clip: Clip) -> tuple[bytes, str]:
    """The file that holds the sound of a clip, and a name for it."""
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
        raise unusable(stored, "missing", f"does not exist; {path_remedy(stored)}, or remove the clip") from error
    except OSError as error:
        raise cannot_be_read(stored, error) from error


def _check_content(clip: Clip) -> None:
    """Refuse a file with another SHA-256 than the listed one; the reader reports a missing file."""
    if clip.sha256 is None or clip.row is not None or not clip.path.is_file():
        return
    try:
        _compare(clip, file_sha256(clip.path))
    except OSError as error:
        raise cannot_be_read(clip.path, error) from error


def _compare(clip: Clip, found: str) -> None:
    if clip.sha256 is not None and clip.row is None and found != clip.sha256:
        raise unlisted_content(clip.path, found, clip.sha256)
