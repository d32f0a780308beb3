"""The plan of a swap, what applying it does, and the report.

A plan can be read before anything is changed. Applying it changes the model in place and reports the parameters before
and after, and how close the new kernels are to trained ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from audio_dcls.dcls.conv import DclsConv, DclsConv1d, DclsConv2d, DclsConv3d, share_positions
from audio_dcls.dcls.swap.kernel_fit import TRANSFERS, LayerTransfer, transfer_kernels
from audio_dcls.dcls.swap.rule import is_plain
from audio_dcls.errors import ArgumentError, ModelError

_DCLS_CLASSES: dict[int, type[DclsConv]] = {1: DclsConv1d, 2: DclsConv2d, 3: DclsConv3d}


@dataclass(frozen=True)
class SwapEntry:
    """One layer of a plan: its path in the model, the reason to swap it, and its sizes before and after in taps."""

    name: str
    reason: str
    width: int
    """Output channels."""
    old_kernel_size: tuple[int, ...]
    new_kernel_size: tuple[int, ...]
    padding: tuple[int, ...] | str
    """On both sides along each axis after the swap, or "same"; the output keeps its size."""
    group: str | None
    """Label of the layers that share positions and spreads; None if the layer does not share."""
    num_parameters_before: int
    num_parameters_after: int
    """Weights and biases; plus positions and spreads, counted at the first layer of a group."""

    def __str__(self) -> str:
        """One line: path, width, sizes, group and parameters."""
        sizes = f"{format_size(self.old_kernel_size)} -> {format_size(self.new_kernel_size)}"
        numbers = f"{self.num_parameters_before} -> {self.num_parameters_after}"
        return f"{self.name}  {self.width}  {sizes}  group {self.group or '-'}  {numbers}"


@dataclass(frozen=True)
class SwapPlan:
    """A swap that has not been applied yet.

    Attributes:
        rule: name of the rule.
        kernel_count: elements per kernel.
        interpolation: how an element spreads.
        share: "width", "stage" or "none".
        entries: the layers, in the model's order.
    """

    rule: str
    kernel_count: int
    interpolation: str
    share: str
    entries: tuple[SwapEntry, ...]

    def __str__(self) -> str:
        """One line per layer, and one about the new kernels."""
        lines = [f"{entry}  ({entry.reason})" for entry in self.entries]
        kernels = f"{self.kernel_count} elements, {self.interpolation}, shared by {self.share}"
        return "\n".join([*lines, f"{kernels}; nothing is changed yet"])

    def groups(self) -> dict[str, list[str]]:
        """Names of the layers of each group, in the model's order."""
        groups: dict[str, list[str]] = {}
        for entry in self.entries:
            if entry.group is not None:
                groups.setdefault(entry.group, []).append(entry.name)
        return groups

    def apply(self, model: nn.Module, *, transfer: str = "random") -> SwapReport:
        """Swap the layers in place.

        Weights are drawn from normal(0, 0.02), positions from normal(0, 0.5) clamped into the kernel, and biases are 0.
        They are drawn in the order of the entries from torch's global generator: seed it for a repeatable model. With
        `transfer` "fit", elements are then fitted to the convolutions' kernels, and biases are copied.

        Args:
            model: the model of the plan, or another one with the same convolutions.
            transfer: "random", as the authors do, or "fit", for a trained model.

        Raises:
            ModelError: a layer of the plan is missing in the model, or is not the planned convolution.
            ArgumentError: `transfer` is unknown, or the kernels cannot be fitted (the model is on the meta device).
        """
        if transfer not in TRANSFERS:
            raise ArgumentError(f"`transfer` (={transfer!r}) must be one of {', '.join(TRANSFERS)}")
        num_parameters_before = count_parameters(model)
        modules = dict(model.named_modules(remove_duplicate=False))
        layers: dict[str, DclsConv] = {}
        for entry in self.entries:
            layers[entry.name] = self._make_layer(entry, _expect_convolution(modules, entry))
        groups = list(self.groups().values())
        for names in groups:
            share_positions([layers[name] for name in names])
        transfers: tuple[LayerTransfer, ...] = ()
        if transfer == "fit":
            groups += [[entry.name] for entry in self.entries if entry.group is None]
            transfers = transfer_kernels(groups, modules, layers)
        _replace_modules(model, {id(modules[name]): layer for name, layer in layers.items()})
        return SwapReport(self, num_parameters_before, count_parameters(model), transfer, transfers)

    def _make_layer(self, entry: SwapEntry, old: Any) -> DclsConv:
        layer = _DCLS_CLASSES[len(entry.new_kernel_size)](
            old.in_channels,
            old.out_channels,
            kernel_count=self.kernel_count,
            dilated_kernel_size=entry.new_kernel_size,
            stride=old.stride,
            padding=entry.padding,
            groups=old.groups,
            bias=old.bias is not None,
            interpolation=self.interpolation,
            padding_mode=old.padding_mode,
            device=old.weight.device,
            dtype=old.weight.dtype,
        )
        return layer.train(old.training)

    def to_json_dict(self) -> dict[str, Any]:
        """The plan as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class SwapReport:
    """The result of a swap.

    Attributes:
        plan: the plan that was applied.
        num_parameters_before: parameters of the whole model before.
        num_parameters_after: parameters of the whole model after; shared parameters count once.
        transfer: "random", or "fit" if kernels were fitted and biases copied.
        transfers: the fit of each layer, in the order of the plan's entries; empty with "random".
    """

    plan: SwapPlan
    num_parameters_before: int
    num_parameters_after: int
    transfer: str = "random"
    transfers: tuple[LayerTransfer, ...] = ()

    def __str__(self) -> str:
        """One line per layer and one for the model."""
        lines = [str(entry) for entry in self.plan.entries]
        for index, kept in enumerate(self.transfers):
            lines[index] += f"  kernel fitted, error {kept.relative_error:.3f}{', bias copied' if kept.bias else ''}"
        return "\n".join([*lines, f"parameters  {self.num_parameters_before} -> {self.num_parameters_after}"])

    def to_json_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def count_parameters(model: nn.Module) -> int:
    """The number of parameters of a model; a shared parameter counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def format_size(size: Sequence[int]) -> str:
    """The taps along each axis as text.

    >>> format_size((7, 9))
    '7x9'
    """
    return "x".join(str(taps) for taps in size)


def _expect_convolution(modules: dict[str, nn.Module], entry: SwapEntry) -> nn.Module:
    module = modules.get(entry.name)
    if module is None or not is_plain(module):
        found = "nothing" if module is None else type(module).__name__
        raise ModelError(
            f"layer '{entry.name}' of the plan is not a convolution of this model (found {found}); make a new plan"
        )
    if tuple(getattr(module, "kernel_size", ())) != entry.old_kernel_size or module.out_channels != entry.width:
        raise ModelError(f"layer '{entry.name}' has other sizes than in the plan ({module}); make a new plan")
    return module


def _replace_modules(model: nn.Module, replacements: dict[int, DclsConv]) -> None:
    """Replace modules under every name that they have."""
    for parent in list(model.modules()):
        for child_name, child in list(parent._modules.items()):  # named_children() skips a module's second name
            if id(child) in replacements:
                setattr(parent, child_name, replacements[id(child)])
