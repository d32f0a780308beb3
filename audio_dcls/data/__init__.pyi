from .audit.check import check_clips
from .audit.problems import ClipProblem
from .audit.report import ClipReport
from .importers.audioset import AudioSetImport, import_audioset
from .importers.class_folders import import_class_folders
from .importers.dataset_import import DatasetImport
from .importers.esc50 import import_esc50
from .importers.fsd50k import import_fsd50k
from .importers.speech_commands import import_speech_commands
from .importers.urbansound8k import import_urbansound8k
from .manifest import Manifest
from .manifest_reader import load_manifest
from .sound.decode import fit_length, read_clip, sound_duration_s
from .table.clip import Clip
from .table.clip_table import ClipTable

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
    "load_manifest",
    "read_clip",
    "sound_duration_s",
]
