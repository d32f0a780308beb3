"""Names of the files and folders that hold checkpoints, and which checkpoint folders are complete.

::

    STUDY/                               one config, or a study.yaml that names several cases, each a study
      seed-0/                            a run
        checkpoints/step-00000120/       a checkpoint
          model.safetensors              the model
          state.safetensors              what training needs to resume
          last.safetensors               the weights that training resumes from, where the model is an average
        best/model.safetensors           the model with the best score on the validation splits
"""

from __future__ import annotations

import re
from pathlib import Path

MODEL_FILE = "model.safetensors"
STATE_FILE = "state.safetensors"
LAST_FILE = "last.safetensors"
CHECKPOINTS_FOLDER = "checkpoints"
BEST_FOLDER = "best"
CONFIG_FILE = "config.yaml"
PLAN_FILE = "study.yaml"
_STEP = re.compile(r"step-(\d+)")
_SEED = re.compile(r"seed-(\d+)")


def checkpoint_folder(run: Path, step: int) -> Path:
    """The folder of a run's checkpoint after `step` steps.

    >>> checkpoint_folder(Path("seed-0"), 120).as_posix()
    'seed-0/checkpoints/step-00000120'
    """
    return run / CHECKPOINTS_FOLDER / f"step-{step:08d}"


def checkpoint_folders(run: Path) -> list[Path]:
    """The complete checkpoint folders of a run, oldest first.

    A folder gets its name, step-N, only when everything is written; an empty one is not a checkpoint.
    """
    found = [
        (int(match[1]), path)
        for path in (run / CHECKPOINTS_FOLDER).glob("step-*")
        if (match := _STEP.fullmatch(path.name)) and any((path / name).is_file() for name in (MODEL_FILE, STATE_FILE))
    ]
    return [path for _, path in sorted(found)]


def seed_folders(study: Path) -> list[Path]:
    """The folders of a study's runs, by seed."""
    found = [(int(match[1]), path) for path in study.glob("seed-*") if (match := _SEED.fullmatch(path.name))]
    return [path for _, path in sorted(found)]
