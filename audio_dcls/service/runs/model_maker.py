"""Makes models of the service out of what runs have trained."""

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
from audio_dcls.service.runs.run_config import NAME_PATTERN
from audio_dcls.service.runs.run_folder import SeedFolder, seed_folders

SUFFIX = Path(MODEL_FILE).suffix
COPY_ATTEMPTS = 3
"""A run that goes on may drop a checkpoint while it is copied."""


class ModelMaker:
    """Copies checkpoints' models into a folder.

    Args:
        folder: of the models, `NAME.safetensors` each.
        queue: notes which run a model was made of.
        taken_names: names of models elsewhere, which these must not have.
    """

    def __init__(self, folder: Path, queue: RunQueue, taken_names: Callable[[], Collection[str]] = tuple) -> None:
        self.folder, self.queue, self.taken_names = folder, queue, taken_names

    def make(
        self, entry: RunEntry, name: str, *, seed: int | None = None, case: str | None = None, best: bool = False
    ) -> Path:
        """Copy a run's newest model, or its best, under a name.

        Args:
            entry: the run; it may be going on.
            name: of the new model.
            seed: whose; the first that has a checkpoint if None.
            case: of a study of several cases, which.
            best: the model that did best on the validation splits.

        Raises:
            ConfigError: this can be no model's name.
            ServiceError: 409, the name is taken, or there is no checkpoint yet; 404, the run has no such seed or case.
        """
        if NAME_PATTERN.fullmatch(name) is None:
            raise ConfigError(
                f"`name` (={name[:80]!r}) must be 1 to 64 letters, digits, dots, dashes and underscores, and begin "
                "with a letter or digit"
            )
        path = self.folder / f"{name}{SUFFIX}"
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
        """Names of the models that are still there, by the run they were made of."""
        found: dict[str, list[str]] = {}
        for origin in self.queue.models():
            if (self.folder / f"{origin.name}{SUFFIX}").is_file():
                found.setdefault(origin.run_id, []).append(origin.name)
        return found

    def _copy(self, chosen: SeedFolder, part: Path, *, best: bool) -> None:
        run = RunDir(chosen.path)
        for attempt in range(COPY_ATTEMPTS):
            try:
                shutil.copyfile(run.model_folder(best=best) / MODEL_FILE, part)
                check_digest(part, required=True)
                break
            except RunError as error:
                raise ServiceError(str(error), status=409, code="no_checkpoint") from error
            except (FileNotFoundError, CheckpointError):
                if attempt + 1 == COPY_ATTEMPTS:
                    raise
        with part.open("rb+") as file:
            os.fsync(file.fileno())


def _choose(entry: RunEntry, seed: int | None, case: str | None, *, best: bool) -> SeedFolder:
    """The seed that is meant."""
    folders = seed_folders(entry)
    cases = list(dict.fromkeys(folder.case for folder in folders))
    if case is None and len(cases) > 1:
        named = ", ".join(str(name) for name in cases)
        raise ConfigError(f"`case` must be given for a study of several cases; run '{entry.id}' has {named}")
    meant = [f for f in folders if (case is None or f.case == case) and (seed is None or f.seed == seed)]
    if not meant:
        known = ", ".join(folder.key for folder in folders)
        asked = ", ".join(
            f"`{key}` (={value!r})" for key, value in (("case", case), ("seed", seed)) if value is not None
        )
        raise ServiceError(f"run '{entry.id}' has no {asked}; it has {known}", status=404, code="unknown_seed")
    return next((folder for folder in meant if _has_model(folder, best=best)), meant[0])


def _has_model(folder: SeedFolder, *, best: bool) -> bool:
    run = RunDir(folder.path)
    return (run.best_folder / MODEL_FILE).is_file() if best else bool(run.checkpoints())


def _put_in_place(part: Path, path: Path, name: str) -> None:
    """Give a whole file its name, unless another has it."""
    try:
        os.link(part, path)
    except FileExistsError as error:
        raise _taken(name) from error
    except OSError:  # a file system without links
        if path.exists():
            raise _taken(name) from None
        os.replace(part, path)


def _taken(name: str) -> ServiceError:
    return ServiceError(f"`name` (='{name}') is another model's; choose another name", status=409, code="name_taken")
