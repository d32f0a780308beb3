"""Records of positions on disk: one small file per record, so that a history survives a killed process.

::

    FOLDER/step-00000068.safetensors   `<layer>.positions` and `<layer>.spreads`, as in `PositionHistory`
"""

from __future__ import annotations

import re
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from audio_dcls.dcls.history import PositionHistory
from audio_dcls.dcls.parameters import dcls_layers
from audio_dcls.errors import ArgumentError
from audio_dcls.files import replacing

_FILE = re.compile(r"step-(\d{8})\.safetensors")


def write_record(folder: Path, model: nn.Module, step: int) -> Path | None:
    """Write the positions and spreads of a model after `step` optimiser steps to a file of the folder, which is made if
    it does not exist; return the file, or None if the model has no DCLS layer.
    """
    if not dcls_layers(model):
        return None
    history = PositionHistory()
    history.record(model, step)
    tensors = {name: tensor[0] for name, tensor in history.tensors().items() if name != "steps"}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}.safetensors"
    with replacing(path) as temporary:
        safetensors.torch.save_file(tensors, temporary)
    return path


def drop_records_after(folder: Path, step: int) -> None:
    """Delete the records of later steps: a run that resumes from an earlier step writes them again."""
    for path in folder.glob("step-*.safetensors"):
        found = _FILE.fullmatch(path.name)
        if found is not None and int(found[1]) > step:
            path.unlink()


def read_history(folder: Path) -> PositionHistory:
    """All records of a folder, in the order of their steps; the history is empty if the folder does not exist.

    A file that is damaged or from another model raises an `ArgumentError`.
    """
    history = PositionHistory()
    for path in sorted(folder.glob("step-*.safetensors")):
        found = _FILE.fullmatch(path.name)
        if found is None:
            continue
        try:
            history.append(int(found[1]), safetensors.torch.load_file(path))
        except (SafetensorError, OSError) as error:
            raise ArgumentError(f"'{path}' is not a record of positions ({error}); remove it") from error
    return history
