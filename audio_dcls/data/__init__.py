"""From files on disk to batches: manifests, decoding, checking, augmentation, loading."""

from audio_dcls.data.clip_table import Clip, ClipTable
from audio_dcls.data.decode import decode_mono, fit_length, read_clip, sound_duration_s
from audio_dcls.data.manifest import Manifest

__all__ = ["Clip", "ClipTable", "Manifest", "decode_mono", "fit_length", "read_clip", "sound_duration_s"]
