"""Find the study and runs that a path means, or the latest study."""

from __future__ import annotations

from pathlib import Path

from audio_dcls.errors import RunError
from audio_dcls.models.checkpoint.folders import CONFIG_FILE, PLAN_FILE
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.runs.study_dir import StudyDir
from audio_dcls.settings import load_yaml


def expand_cases(path: str | Path) -> list[Path]:
    """The folders to evaluate for a path: the trained cases of a study, in its order, or the path itself. Raises
    `RunError` if it is a study of several cases, and no case is trained.
    """
    path = Path(path)
    if not (path / PLAN_FILE).is_file():
        return [path]
    folders = [path / name for name in load_yaml(path / PLAN_FILE).get("cases", {})]
    cases = [folder for folder in folders if any(run.checkpoints() for run in StudyDir(folder).runs())]
    if not cases:
        raise RunError(f"study '{path}' has no trained run yet; resume it with: audio-dcls study --resume {path}")
    return cases


def find_runs(path: str | Path) -> tuple[StudyDir, list[RunDir]]:
    """The study and the runs that a path means: all runs of a study folder, or the one of a seed-N folder. Raises
    `RunError` if it is neither, or has no run yet.
    """
    path = Path(path)
    if (path / PLAN_FILE).is_file():
        cases = ", ".join(str(case) for case in expand_cases(path))
        raise RunError(f"'{path}' is a study of several cases; name one of them: {cases}")
    if not path.is_dir():
        raise RunError(f"'{path}' is not a folder; give a study folder, or one of its seed-N folders")
    if (path / CONFIG_FILE).is_file():
        study = StudyDir(path)
        if not study.runs():
            raise RunError(f"study '{path}' has no run yet; start it with: audio-dcls train --resume {path}")
        return study, study.runs()
    if path.name.startswith("seed-") and (path.parent / CONFIG_FILE).is_file():
        return StudyDir(path.parent), [RunDir(path)]
    raise RunError(f"'{path}' is neither a study folder (no config.yaml) nor one of its seed-N folders; check the path")


def run_of_model(path: Path) -> RunDir | None:
    """The run that a model file is stored in; None for a model outside of a run."""
    for folder in path.resolve().parents[:3]:
        if folder.name.startswith("seed-") and (folder.parent / CONFIG_FILE).is_file():
            return RunDir(folder)
    return None


def latest_study(root: str | Path = "runs") -> StudyDir:
    """The study under `root`, or the case of a study, whose runs were written to last. Raises `RunError` if there is no
    trained study.
    """
    configs = [*Path(root).glob("*/config.yaml"), *(p.parent / CONFIG_FILE for p in Path(root).glob("*/*/seed-*"))]
    studies = [StudyDir(config.parent) for config in dict.fromkeys(configs) if config.is_file()]
    studies = [study for study in studies if any(run.checkpoints() for run in study.runs())]
    if not studies:
        raise RunError(f"no trained study under '{root}/'; train one with: audio-dcls train, or name a folder")
    return max(studies, key=lambda study: max(r.status_path.stat().st_mtime for r in study.runs()))
