"""Measuring a tagger: scores, predictions, means over seeds."""

from audio_dcls.data.table.clip_set import id_hash
from audio_dcls.evaluation.metrics import TaggingMetrics, tagging_metrics
from audio_dcls.evaluation.predict import Predictions, predict
from audio_dcls.evaluation.seeds import SeedSummary, summarise

__all__ = ["Predictions", "SeedSummary", "TaggingMetrics", "id_hash", "predict", "summarise", "tagging_metrics"]
