"""Report of the origin of each entry of a backbone that started from trained weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import Tensor

from audio_dcls.dcls.swap.plan import SwapReport
from audio_dcls.models.families import CLASSIFIER


@dataclass(frozen=True)
class PretrainedReport:
    """The origin of each entry of a backbone's state.

    `loaded`, `adapted`, `fitted` and `random` together contain every entry once.

    Attributes:
        source: name of the weights, or the file that they were read from.
        loaded: entries that were copied unchanged.
        adapted: entries that were reshaped, or copied row by row for the classes in common.
        random: entries that keep their random initial values: name -> reason.
        unused: entries of the source that have no counterpart in the backbone.
        fitted: entries of kernels that were fitted to loaded kernels: name -> relative error of the kernel.
        kept_classes: identifiers of the classes whose rows of the classifier were loaded, if the weights have other
            classes.
        new_classes: identifiers of the classes whose rows are random; empty if the classes are the same.
    """

    source: str
    loaded: tuple[str, ...]
    adapted: tuple[str, ...]
    random: dict[str, str]
    unused: tuple[str, ...]
    fitted: dict[str, float] = field(default_factory=dict)
    kept_classes: tuple[str, ...] = ()
    new_classes: tuple[str, ...] = ()

    @property
    def has_classifier(self) -> bool:
        """True if the whole classifier was loaded, with a row for every class."""
        return not self.new_classes and not any(key.startswith(f"{CLASSIFIER}.") for key in self.random)

    def __str__(self) -> str:
        """One line for the log."""
        reasons: dict[str, int] = {}
        for reason in self.random.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        left = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none"
        text = f"{self.source}: {len(self.loaded)} entries loaded, {len(self.adapted)} reshaped"
        if self.fitted:
            errors = self.fitted.values()
            text += f", {len(self.fitted)} fitted to kernels with an error of {min(errors):.3f} to {max(errors):.3f}"
        if self.kept_classes or self.new_classes:
            num_classes = len(self.kept_classes) + len(self.new_classes)
            text += f", the classifier's rows of {len(self.kept_classes)} of {num_classes} classes kept"
        return f"{text}; left random: {left}"

    def after_swap(self, swap: SwapReport, state: Mapping[str, Tensor]) -> PretrainedReport:
        """The report after loaded kernels were swapped with `transfer="fit"`, for the swapped backbone's `state`."""
        fitted = {}
        for kept in swap.transfers:
            names = (f"{kept.name}.{part}" for part in ("weight", "positions", "spreads"))
            fitted |= {key: kept.relative_error for key in names if key in state}
        return replace(self, loaded=tuple(key for key in self.loaded if key not in fitted), fitted=fitted)

    def to_json_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)
