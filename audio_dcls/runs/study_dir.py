"""The folder of one config trained over seeds. Training writes nothing else, and other commands read nothing else.

::

    STUDY/                   one config, one or more seeds
      config.yaml            the whole config, including defaults
      .lock                  locked while the study is trained
      clip_report.csv        every clip, and the reason for each clip that cannot be used
      seed-0/                one run
        status.json          state, step, epoch, last scores; replaced atomically
        pretrained.json      weights that were loaded, adapted or left random; with model.pretrained
        metrics.jsonl        one JSON object per line
        tensorboard/
        nonfinite/step-00000007.json  clips of a step whose loss or gradient was not finite
        checkpoints/step-00000120/    model.safetensors and state.safetensors; if the model is an average of weights,
                             last.safetensors has the last weights
        positions/step-00000068.safetensors  positions of the elements after each epoch; with DCLS
        best/model.safetensors  the model with the highest mAP on the validation splits, if there are any
        eval/per_class.csv
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from audio_dcls.errors import AudioDclsError, RunError
from audio_dcls.files import write_atomically
from audio_dcls.models.checkpoint.folders import CONFIG_FILE, seed_folders
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.locks import try_lock
from audio_dcls.runs.resumable_keys import changed_keys
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.runs.run_files import seed_folder
from audio_dcls.settings import build, dump_yaml, load_yaml


class StudyDir:
    """The folder of one config trained over seeds."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.report_path = self.path / "clip_report.csv"

    def create(self, config: TrainConfig) -> None:
        """Make the folder and write the config. Raises `RunError` if the folder already has a study or files."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise RunError(
                f"output folder '{self.path}' is not empty; continue its study with --resume {self.path}, "
                "or give another --out"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / CONFIG_FILE, dump_yaml(config).encode())

    def config(self) -> TrainConfig:
        """The study's config. Raises `RunError` if the folder is not a study."""
        path = self.path / CONFIG_FILE
        if not path.is_file():
            raise RunError(f"'{self.path}' is not a study folder (it has no config.yaml); check the path")
        return build(TrainConfig, load_yaml(path), str(path))

    def is_untrained(self) -> bool:
        """True if no run is running, is done, or has metrics or a checkpoint: there is nothing to lose."""
        return not any(
            run.status().get("state") in ("running", "done") or run.metrics_path.is_file() or run.checkpoints()
            for run in self.runs()
        )

    @contextlib.contextmanager
    def claimed(self, config: TrainConfig) -> Iterator[None]:
        """Keep other processes from training this study while the body runs.

        A folder without a study gets this config; so does an untrained study, which keeps its report on clips. Raises
        `RunError` if the folder holds other files, or another process is training the study.
        """
        path = self.path / CONFIG_FILE
        if not path.is_file():
            self.create(config)
        with try_lock(self.path / ".lock") as is_held:
            if not is_held:
                raise RunError(
                    f"'{self.path}' is being trained by another process; wait until it ends, or give another --out"
                )
            if self.is_untrained() and changed_keys(self.config(), config):
                write_atomically(path, dump_yaml(config).encode())
            yield

    @contextlib.contextmanager
    def dropped_if_unused(self) -> Iterator[None]:
        """Delete the folder if the body created it and fails before there is a run."""
        existed = self.path.exists()
        try:
            yield
        except AudioDclsError:
            if not existed and not self.runs() and not self.report_path.is_file():
                shutil.rmtree(self.path, ignore_errors=True)
            raise

    def mark_stopped(self) -> None:
        """Mark running runs as stopped; this process is exiting."""
        for run in self.runs():
            if run.status().get("state") == "running":
                run.write_status(state="stopped")

    def run(self, seed: int) -> RunDir:
        """The run of one seed."""
        return RunDir(seed_folder(self.path, seed))

    def runs(self) -> list[RunDir]:
        """Runs that were started, by seed."""
        return [RunDir(folder) for folder in seed_folders(self.path)]
