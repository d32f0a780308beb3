"""From a path or a name to the model file that it means."""

from __future__ import annotations

from pathlib import Path

from audio_dcls.errors import ArgumentError, CheckpointError
from audio_dcls.models.checkpoint.folders import CONFIG_FILE, MODEL_FILE, PLAN_FILE, checkpoint_folders, seed_folders
from audio_dcls.models.weights.download import Progress
from audio_dcls.models.weights.published import is_published_name, nearest_name
from audio_dcls.models.weights.resolve import resolve, resolve_tagger
from audio_dcls.settings import load_yaml


def find_model(source: str | Path, *, for_tagging: bool = True, progress: Progress | None = None) -> Path:
    """The model file meant by a path or by a name of `audio-dcls models list`.

    A path that exists is taken as a path: a file is returned as it is, a checkpoint folder means its
    model.safetensors, a run folder its newest complete checkpoint, and a study folder its first trained seed.
    Published weights are fetched if they are not on this machine; `for_tagging` refuses those of image models.

    Raises:
        ArgumentError: `source` is neither text nor a path.
        CheckpointError: the path does not exist, or the folder holds no model.
        PretrainedError: the published weights cannot be fetched, or are of an image model.
    """
    if not isinstance(source, str | Path):
        raise ArgumentError(f"`source` (={source!r}) must be a path, or a name of published weights")
    name, path = str(source), Path(source)
    if not name.strip():
        raise CheckpointError(
            "the model is an empty name, perhaps an unset variable; give a study, run or checkpoint folder"
        )
    if path.is_dir():
        return _model_in(path)
    if path.exists():
        return path
    if is_published_name(name):
        return (resolve_tagger if for_tagging else resolve)(name, progress=progress)
    near = nearest_name(name)
    if near is not None:
        raise CheckpointError(f"checkpoint '{source}' does not exist; did you mean the published weights '{near}'?")
    raise CheckpointError(
        f"checkpoint '{source}' does not exist; check the path: give a study, run or checkpoint folder, a "
        f"{MODEL_FILE}, or a name of `audio-dcls models list`"
    )


def _model_in(folder: Path) -> Path:
    """The model file of a checkpoint, run or study folder."""
    if (folder / MODEL_FILE).is_file():
        return folder / MODEL_FILE
    if (folder / PLAN_FILE).is_file():
        raise CheckpointError(_describe_cases(folder))
    runs = seed_folders(folder)
    for run in (folder, *runs):
        if found := checkpoint_folders(run):
            return found[-1] / MODEL_FILE
    if runs or folder.name.startswith("seed-"):
        run = runs[0] if runs else folder
        raise CheckpointError(f"run '{run}' has no checkpoint yet; train it further, or name another run")
    if (folder / CONFIG_FILE).is_file():
        raise CheckpointError(f"study '{folder}' has no run yet; start it with: audio-dcls train --resume {folder}")
    raise CheckpointError(f"folder '{folder}' holds no {MODEL_FILE}, and no run with a checkpoint; check the path")


def _describe_cases(study: Path) -> str:
    """An error message for a study of several cases, which names those that are trained."""
    folders = [study / name for name in load_yaml(study / PLAN_FILE).get("cases", {})]
    trained = [str(case) for case in folders if any(checkpoint_folders(run) for run in seed_folders(case))]
    if not trained:
        return f"study '{study}' has no trained run yet; resume it with: audio-dcls study --resume {study}"
    return f"'{study}' is a study of several cases; name one of them: {', '.join(trained)}"
