from .audioset import AudioSetImport, import_audioset
from .check import ClipProblem, ClipReport, check_clips
from .class_folders import import_class_folders
from .clip_table import Clip, ClipTable
from .dataset_import import DatasetImport
from .decode import fit_length, read_clip, sound_duration_s
from .esc50 import import_esc50
from .fsd50k import import_fsd50k
from .manifest import Manifest
from .speech_commands import import_speech_commands
from .urbansound8k import import_urbansound8k

__all__ = [
    "AudioSetImport",
    "Clip",
    "ClipProblem",
    "ClipReport",
    "ClipTable",
    "DatasetImport",
    "Manifest",
    "check_clips",
    "fit_length",
    "import_audioset",
    "import_class_folders",
    "import_esc50",
    "import_fsd50k",
    "import_speech_commands",
    "import_urbansound8k",
    "read_clip",
    "sound_duration_s",
]
