"""The frontend: from waveforms to normalised log-mel spectrograms."""

from audio_dcls.frontend.config import FrontendConfig
from audio_dcls.frontend.filter_bank import mel_filter_bank
from audio_dcls.frontend.mel import LogMel, build_frontend

__all__ = ["FrontendConfig", "LogMel", "build_frontend", "mel_filter_bank"]
