"""From a folder to the model's file in it."""

from __future__ import annotations

from pathlib import Path

from audio_dcls.errors import CheckpointError
from audio_dcls.models.checkpoint.tensor_file import MODEL_FILE


def model_file(folder: str | Path) -> Path:
    """The model of a checkpoint's folder, of a run (its newest checkpoint), or of a study (its first trained seed).

    Raises:
        CheckpointError: no model is there.
    """
    path = Path(folder)
    if (path / MODEL_FILE).is_file():
        return path / MODEL_FILE
    seeds = (run for run in path.glob("seed-*") if run.name.removeprefix("seed-").isdigit())
    for run in (path, *sorted(seeds, key=lambda run: int(run.name.removeprefix("seed-")))):
        models = sorted(run.glob(f"checkpoints/step-*/{MODEL_FILE}"))
        if models:
            return models[-1]
    raise CheckpointError(f"folder '{folder}' holds no {MODEL_FILE}, and no run with a checkpoint; check the path")
