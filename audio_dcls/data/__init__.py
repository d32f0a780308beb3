"""From files on disk to batches: manifests, decoding, checking, augmentation, loading."""

from audio_dcls.data.audioset import AudioSetImport, import_audioset
from audio_dcls.data.check import ClipProblem, ClipReport, check_clips
from audio_dcls.data.clip_table import Clip, ClipTable
from audio_dcls.data.decode import fit_length, read_clip, sound_duration_s
from audio_dcls.data.manifest import Manifest

__all__ = [
    "AudioSetImport",
    "Clip",
    "ClipProblem",
    "ClipReport",
    "ClipTable",
    "Manifest",
    "check_clips",
    "fit_length",
    "import_audioset",
    "read_clip",
    "sound_duration_s",
]
