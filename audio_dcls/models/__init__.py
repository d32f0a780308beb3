"""Audio taggers: timm's backbones behind the log-mel frontend, with or without DCLS."""

from audio_dcls.models.backbones import build_backbone, stage_maps
from audio_dcls.models.config import DclsConfig, ModelConfig
from audio_dcls.models.families import FAMILIES, PAPER_NAMES, find_family, member_names
from audio_dcls.models.fusing import prepare_for_inference
from audio_dcls.models.pretrained.loading import load_pretrained
from audio_dcls.models.pretrained.sources import Weights, read_weights
from audio_dcls.models.pretrained.start import start_tagger
from audio_dcls.models.pretrained_report import PretrainedReport
from audio_dcls.models.stem import PatchStem
from audio_dcls.models.tagger import AudioTagger, build_tagger, swap_backbone

__all__ = [
    "FAMILIES",
    "PAPER_NAMES",
    "AudioTagger",
    "DclsConfig",
    "ModelConfig",
    "PatchStem",
    "PretrainedReport",
    "Weights",
    "build_backbone",
    "build_tagger",
    "find_family",
    "load_pretrained",
    "member_names",
    "prepare_for_inference",
    "read_weights",
    "stage_maps",
    "start_tagger",
    "swap_backbone",
]
