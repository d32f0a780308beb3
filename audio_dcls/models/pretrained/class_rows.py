"""Carry the rows of a trained classifier over to another set of classes, matched by identifier.

Axis legend: C classes, D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from audio_dcls.labels import LabelSet
from audio_dcls.models.families import CLASSIFIER


@dataclass(frozen=True)
class ClassRows:
    """A backbone's state with the classifier's rows in another order.

    `state` has all entries; those of `keys`, the output layer, have the new classifier's rows, and are left out if no
    class is common. `kept` and `new` are the ids of the classes whose rows were kept or start at random.
    """

    state: Mapping[str, Tensor]
    keys: tuple[str, ...]
    kept: tuple[str, ...]
    new: tuple[str, ...]


def carry_class_rows(
    state: Mapping[str, Tensor], theirs: LabelSet, backbone: nn.Module, ours: LabelSet
) -> ClassRows | None:
    """Move the rows of the classes that two label sets have in common to their places in the new classifier.

    `state` is a trained backbone with the classes `theirs`; `backbone` has the classes `ours` and gives the rows of new
    ones. The output layer has a weight (C, D) and a bias (C,). None if both have the same classes in the same order.
    """
    if theirs.ids == ours.ids:
        return None
    layer = output_layer(backbone)
    keys = tuple(key for key in (f"{layer}.weight", f"{layer}.bias") if key in state)
    places = {label: row for row, label in enumerate(theirs.ids)}
    kept = [row for row, label in enumerate(ours.ids) if label in places]
    own, carried = backbone.state_dict(), {key: value for key, value in state.items() if key not in keys}
    if kept:
        for key in keys:
            rows = own[key].clone()
            rows[kept] = state[key][[places[ours.ids[row]] for row in kept]].to(rows)
            carried[key] = rows
    return ClassRows(
        state=carried,
        keys=keys,
        kept=tuple(ours.ids[row] for row in kept),
        new=tuple(label for label in ours.ids if label not in places),
    )


def output_layer(backbone: nn.Module) -> str:
    """Path of the linear layer whose output is the logits."""
    head = backbone.get_submodule(CLASSIFIER)
    paths = [path for path, module in head.named_modules(prefix=CLASSIFIER) if isinstance(module, nn.Linear)]
    return paths[-1]
