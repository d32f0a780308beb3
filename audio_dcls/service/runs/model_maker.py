"""Make models of the service from the checkpoints of runs."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from audio_dcls.errors import CheckpointError, ConfigError, RunError, ServiceError
from audio_dcls.files import flush_folder
from audio_dcls.models.checkpoint.folders import MODEL_FILE
from audio_dcls.models.checkpoint.tensor_file import check_digest, load_info
from audio_dcls.runs.run_dir import RunDir
from audio_dcls.service.runs.queue import ModelOrigin, RunEntry, RunQueue, now_text
from audio_dcls.service.runs.run_config import check_name
from audio_dcls.service.runs.run_folder import SeedFolder, seed_folders

_SUFFIX = Path(MODEL_FILE).suffix
_COPY_ATTEMPTS = 3
"""A running run may delete a checkpoint while it is copied."""


class ModelMaker:
    """Copies models from checkpoints into a folder.

    Args:
        folder: holds the models, each as `NAME.safetensors`.
        queue: records the run that each model was made from.
        taken_names: returns the names of the service's other models.
    """

    def __init__(self, folder: Path, queue: RunQueue, taken_names: Callable[[], Collection[str]] = tuple) -> None:
        self.folder, self.queue, self.taken_names = folder, queue, taken_names

    def make(
        self, entry: RunEntry, name: str, *, seed: int | None = None, case: str | None = None, best: bool = False
    ) -> Path:
        """Copy a run's newest model, or its best, under a name.

        Args:
            entry: the run; it may still be running.
            name: the new model's name.
            seed: the seed to take; the first with a checkpoint if None.
            case: the case to take, in a study of several cases.
            best: take the model that did best on the validation splits.

        Raises:
            ConfigError: the name is not valid.
            ServiceError: 409, the name is taken, or there is no checkpoint yet; 404, the run has no such seed or case.
        """
        check_name(name)
        path = self.folder / f"{name}{_SUFFIX}"
        if path.exists() or name in self.taken_names():
            raise _taken(name)
        chosen = _choose(entry, seed, case, best=best)
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{name}.{secrets.token_hex(4)}.tmp"
        try:
            self._copy(chosen, part, best=best)
            step = load_info(part).get("step")
            _put_in_place(part, path, name)
        finally:
            part.unlink(missing_ok=True)
        flush_folder(self.folder)
        step = step if isinstance(step, int) else 0
        self.queue.add_model(ModelOrigin(name, entry.id, chosen.seed, chosen.case, step, int(best), now_text()))
        return path

    def names_by_run(self) -> dict[str, list[str]]:
        """Names of the models that still exist, by the run that they were made from."""
        found: dict[str, list[str]] = {}
        for origin in self.queue.models():
            if (self.folder / f"{origin.name}{_SUFFIX}").is_file():
                found.setdefault(origin.run_id, []).append(origin.name)
        return found

    def _copy(self, chosen: SeedFolder, part: Path, *, best: bool) -> None:
        run = RunDir(chosen.path)
        for attempt in range(_COPY_ATTEMPTS):
            try:
                shutil.copyfile(run.model_folder(best=best) / MODEL_FILE, part)
                check_digest(part)
                break
            except RunError as error:
                raise ServiceError(str(error), status=409, code="no_checkpoint") from error
            except (FileNotFoundError, CheckpointError):
                if attempt + 1 == _COPY_ATTEMPTS:
                    raise
        with part.open("rb+") as file:
            os.fsync(file.fileno())


def _choose(entry: RunEntry, seed: int | None, case: str | None, *, best: bool) -> SeedFolder:
    """The seed to take."""
    folders = seed_folders(entry)
    cases = list(dict.fromkeys(folder.case for folder in folders))
    if case is None and len(cases) > 1:
        named = ", ".join(str(name) for name in cases)
        raise ConfigError(f"`case` must be given for a study of several cases; run '{entry.id}' has {named}")
    matching = [f for f in folders if (case is None or f.case == case) and (seed is None or f.seed == seed)]
    if not matching:
        known = ", ".join(folder.key for folder in folders)
        wanted = [f"`{key}` (={value!r})" for key, value in (("case", case), ("seed", seed)) if value is not None]
        message = f"run '{entry.id}' has no {', '.join(wanted)}; it has {known}"
        raise ServiceError(message, status=404, code="unknown_seed")
    return next((folder for folder in matching if _has_model(folder, best=best)), matching[0])


def _has_model(folder: SeedFolder, *, best: bool) -> bool:
    run = RunDir(folder.path)
    return (run.best_folder / MODEL_FILE).is_file() if best else bool(run.checkpoints())


def _put_in_place(part: Path, path: Path, name: str) -> None:
    """Give a complete file its name, unless the name is taken."""
    try:
        os.link(part, path)
    except FileExistsError as error:
        raise _taken(name) from error
    except OSError:  # the file system has no links
        if path.exists():
            raise _taken(name) from None
        os.replace(part, path)


def _taken(name: str) -> ServiceError:
    return ServiceError(
        f"`name` (='{name}') is the name of another model; choose another name", status=409, code="name_taken"
    )
