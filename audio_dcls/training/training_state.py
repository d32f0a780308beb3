"""The optimiser's state: what a run needs besides the weights to resume from a step, as safetensors and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audio_dcls.errors import CheckpointError
from audio_dcls.models.checkpoint.tensor_file import load_tensors, save_tensors


def save_training_state(path: Path, optimizer: torch.optim.Optimizer, info: dict[str, Any]) -> None:
    """Write the optimiser's per-parameter state and `info`, which must have `step`, atomically.

    Tensors are stored as `PARAMETER_INDEX.NAME`, numbers in the JSON. Learning rates are not written: the schedule
    computes them from the step.
    """
    states = optimizer.state_dict()["state"]
    values = {f"{index}.{name}": value for index, state in states.items() for name, value in state.items()}
    tensors = {key: value for key, value in values.items() if isinstance(value, Tensor)}
    numbers = {key: value for key, value in values.items() if key not in tensors}
    # LAMB counts steps per group, not per parameter.
    group_steps = [float(group["step"]) for group in optimizer.param_groups if "step" in group]
    document = {"kind": "training_state", "numbers": numbers, "group_steps": group_steps}
    save_tensors(path, tensors, {**info, **document})


def load_training_state(path: Path, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Restore what `save_training_state` wrote into an optimiser with the same parameters; return the saved `info`.
    Raises `CheckpointError` if the file is damaged, of another kind, or belongs to another model.
    """
    tensors, info = load_tensors(path)
    if info.get("kind") != "training_state":
        raise CheckpointError(f"'{path}' holds '{info.get('kind')}', not a training state")
    document = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **info.pop("numbers")}.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    for index, entries in state.items():
        for name, value in entries.items():
            fits = index < len(parameters) and (
                not isinstance(value, Tensor) or value.ndim == 0 or value.shape == parameters[index].shape
            )
            if not fits:
                raise CheckpointError(f"training state '{path}' belongs to another model (entry {index}.{name})")
            if isinstance(value, Tensor) and value.ndim:
                # Fused optimisers need the same memory layout for a parameter and its state.
                entries[name] = torch.empty_like(parameters[index], dtype=value.dtype, device="cpu").copy_(value)
    for group, num_steps in zip(document["param_groups"], info.pop("group_steps", ()), strict=False):
        group["step"] = torch.tensor(num_steps)
    optimizer.load_state_dict({**document, "state": state})
    return info
