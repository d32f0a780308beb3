"""Swap convolutions of any model for DCLS: plan -> apply -> report.

A plan says which convolutions become DCLS, why, and which of them share positions and spreads; it can be read before
anything is changed. Applying it changes the model in place and reports the parameters before and after, and what the
new kernels keep of trained ones.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd as _AnyConv

from audio_dcls.dcls.arguments import is_integer, per_axis
from audio_dcls.dcls.conv import DclsConv, DclsConv1d, DclsConv2d, DclsConv3d, share_positions
from audio_dcls.dcls.interpolation import find_interpolation
from audio_dcls.dcls.swap.rule import PLAIN_CONVOLUTIONS, Predicate, SwapRule, find_rule, is_plain
from audio_dcls.dcls.swap.sharing import SHARINGS, label_groups, sharing_key
from audio_dcls.dcls.swap.transfer import TRANSFERS, LayerTransfer, transfer_kernels
from audio_dcls.errors import ArgumentError, ModelError

_DCLS_CLASSES: dict[int, type[DclsConv]] = {1: DclsConv1d, 2: DclsConv2d, 3: DclsConv3d}


@dataclass(frozen=True)
class SwapEntry:
    """One layer of a plan.

    Attributes:
        name: path of the layer in the model.
        reason: why it is swapped.
        width: output channels.
        old_kernel_size: taps along each axis before.
        new_kernel_size: taps of the dense kernel along each axis after.
        padding: taps added on both sides along each axis after, or "same"; the output keeps its size.
        group: label of the layers that share positions and spreads; None where it has its own.
        num_parameters_before: weights and biases of the convolution.
        num_parameters_after: weights, biases, and the positions and spreads, which the first layer of a group counts.
    """

    name: str
    reason: str
    width: int
    old_kernel_size: tuple[int, ...]
    new_kernel_size: tuple[int, ...]
    padding: tuple[int, ...] | str
    group: str | None
    num_parameters_before: int
    num_parameters_after: int


@dataclass(frozen=True)
class SwapPlan:
    """What a swap does, before it is done.

    Attributes:
        rule: name of the rule.
        kernel_count: elements of each kernel.
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
        """A line for each layer, and how the new kernels are made."""
        lines = [
            f"{entry.name}  {entry.width}  {_by(entry.old_kernel_size)} -> {_by(entry.new_kernel_size)}  "
            f"group {entry.group or '-'}  {entry.num_parameters_before} -> {entry.num_parameters_after}  "
            f"({entry.reason})"
            for entry in self.entries
        ]
        return "\n".join(
            [*lines, f"{self.kernel_count} elements, {self.interpolation}, shared by {self.share}; nothing is done yet"]
        )

    def groups(self) -> dict[str, list[str]]:
        """Names of the layers of each group, in the model's order."""
        groups: dict[str, list[str]] = {}
        for entry in self.entries:
            if entry.group is not None:
                groups.setdefault(entry.group, []).append(entry.name)
        return groups

    def apply(self, model: nn.Module, *, transfer: str = "random") -> SwapReport:
        """Swap the layers in place.

        Weights are drawn from normal(0, 0.02), positions from normal(0, 0.5) clamped into the kernel, biases are 0,
        in the order of the entries and from torch's global generator: seed it for a repeatable model. With `transfer`
        "fit", what is drawn is then replaced by what comes closest to the convolutions' kernels and by their biases.

        Args:
            model: the model that was planned for, or another of its form.
            transfer: "random", as the authors do, or "fit", for a model that has been trained.

        Raises:
            ModelError: a layer of the plan is not in the model, or not the convolution it was.
            ArgumentError: `transfer` is neither, or there are no kernels to fit (the model is on the meta device).
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
    """What a swap did.

    Attributes:
        plan: the plan that was applied.
        num_parameters_before: of the whole model, each once.
        num_parameters_after: of the whole model, each once however many layers share it.
        transfer: "random", or "fit" where kernels were fitted and biases copied.
        transfers: what each layer kept, in the order of the plan's entries; empty with "random".
    """

    plan: SwapPlan
    num_parameters_before: int
    num_parameters_after: int
    transfer: str = "random"
    transfers: tuple[LayerTransfer, ...] = ()

    def __str__(self) -> str:
        """A line for each layer and one for the model."""
        lines = [
            f"{entry.name}  {entry.width}  {_by(entry.old_kernel_size)} -> {_by(entry.new_kernel_size)}  "
            f"group {entry.group or '-'}  {entry.num_parameters_before} -> {entry.num_parameters_after}"
            for entry in self.plan.entries
        ]
        for index, kept in enumerate(self.transfers):
            lines[index] += f"  kernel fitted, error {kept.relative_error:.3f}{', bias copied' if kept.bias else ''}"
        return "\n".join([*lines, f"parameters  {self.num_parameters_before} -> {self.num_parameters_after}"])

    def to_json_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def plan_swap(
    model: nn.Module,
    rule: str | SwapRule | Predicate = "paper",
    *,
    dilated_kernel_size: int | Sequence[int] = 23,
    kernel_count: int = 26,
    interpolation: str = "gauss",
    share: str = "width",
) -> SwapPlan:
    """Choose the convolutions to swap and the layers that share; nothing is changed yet.

    Padding grows with the kernel, so every output keeps its size: the old and the new kernel must differ by an even
    number of taps.

    Args:
        model: any model.
        rule: "paper" (depthwise 7x7, stride 1), "depthwise", "every", a `SwapRule`, or a predicate of the module's
            path and the module.
        dilated_kernel_size: taps of the new kernels along every axis, or along each.
        kernel_count: elements of each kernel, at least 1.
        interpolation: "gauss", "triangle", "bilinear" or "bilinear_floor".
        share: "width" (layers with as many output and input channels, as the authors do), "stage" (those that also
            lie under one numbered part of the model, such as `stages.2` or `layer3`), or "none".

    Raises:
        ModelError: no layer matches, or one that does cannot be swapped.
        ArgumentError: a number or a name breaks its rule.

    >>> model = nn.Sequential(*(nn.Conv2d(8, 8, 7, padding=3, groups=8) for _ in range(2)))
    >>> print(plan_swap(model, dilated_kernel_size=11, kernel_count=5).apply(model))
    0  8  7x7 -> 11x11  group A  400 -> 208
    1  8  7x7 -> 11x11  group A  400 -> 48
    parameters  800 -> 256
    """
    if share not in SHARINGS:
        raise ArgumentError(f"`share` (={share!r}) must be one of {', '.join(SHARINGS)}")
    if not is_integer(kernel_count) or kernel_count < 1:
        raise ArgumentError(f"`kernel_count` (={kernel_count!r}) must be an integer of at least 1")
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"`model` (={model!r}) must be a torch.nn.Module")
    form, chosen = find_interpolation(interpolation), find_rule(rule)
    entries: list[SwapEntry] = []
    keys: list[Hashable] = []
    num_coordinates: list[int] = []
    for name, conv in _matching(model, chosen):
        new_size = _size_per_axis(dilated_kernel_size, len(conv.kernel_size), name)
        num_elements = conv.out_channels * (conv.in_channels // conv.groups) * kernel_count
        num_biases = 0 if conv.bias is None else conv.out_channels
        num_coordinates.append(num_elements * len(new_size) * (2 if form.has_spreads else 1))
        keys.append(sharing_key(share, name, conv, new_size))
        entries.append(
            SwapEntry(
                name=name,
                reason=chosen.reason,
                width=conv.out_channels,
                old_kernel_size=tuple(conv.kernel_size),
                new_kernel_size=new_size,
                padding=_new_padding(conv, new_size, name),
                group=None,
                num_parameters_before=conv.weight.numel() + num_biases,
                num_parameters_after=num_elements + num_biases,
            )
        )
    if not entries:
        raise ModelError(f"`rule` (={chosen.name!r}) matches no layer of the model: {_what_there_is(model, chosen)}")
    entries = _assign_groups(entries, keys, num_coordinates)
    return SwapPlan(chosen.name, kernel_count, form.name, share, tuple(entries))


def count_parameters(model: nn.Module) -> int:
    """Parameters of a model, each once however many layers share it."""
    return sum(parameter.numel() for parameter in model.parameters())


def _matching(model: nn.Module, rule: SwapRule) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        if not rule.matches(name, module):
            continue
        if not is_plain(module):
            allowed = ", ".join(kind.__name__ for kind in PLAIN_CONVOLUTIONS)
            where = f"layer '{name}'" if name else "the model itself"
            raise ModelError(f"{where} is a {type(module).__name__}, which cannot be swapped; match only {allowed}")
        if not name:
            raise ModelError("the model is itself the convolution to swap; build a DclsConv in its place")
        yield name, module


def _what_there_is(model: nn.Module, rule: SwapRule) -> str:
    """The convolutions a model has, for whoever chose a rule that matches none."""
    modules = list(model.modules())
    num_swapped = sum(isinstance(module, DclsConv) for module in modules)
    num_plain = sum(is_plain(module) for module in modules)
    num_other = sum(isinstance(m, _AnyConv) and not is_plain(m) for m in modules)
    found = [f"{num_plain} plain convolutions" if num_plain else "no plain convolution"]
    if num_swapped:
        found.append(f"{num_swapped} that are DCLS already")
    if num_other:
        found.append(f"{num_other} of a class that cannot be swapped (transposed, lazy, parametrised or its own)")
    others = [repr(name) for name in ("depthwise", "every") if name != rule.name]
    remedy = f"; try {', '.join(others)} or a predicate" if num_plain else ""
    return f"it has {', '.join(found)}{remedy}"


def _size_per_axis(size: int | Sequence[int], num_axes: int, name: str) -> tuple[int, ...]:
    try:
        return per_axis("dilated_kernel_size", size, num_axes, 1)
    except ArgumentError as error:
        raise ArgumentError(f"{error} (layer '{name}' has {num_axes} axes)") from error


def _new_padding(conv: Any, new_size: tuple[int, ...], name: str) -> tuple[int, ...] | str:
    """Padding that keeps the output's size: S + 2 p is constant minus the difference of the kernels' lengths."""
    if conv.padding == "same":
        return "same"
    old_padding = (0,) * len(new_size) if conv.padding == "valid" else conv.padding
    lengths = [dilation * (taps - 1) + 1 for dilation, taps in zip(conv.dilation, conv.kernel_size, strict=True)]
    growth = [new - old for new, old in zip(new_size, lengths, strict=True)]
    padding = [pad + taps // 2 for pad, taps in zip(old_padding, growth, strict=True)]
    if any(taps % 2 for taps in growth) or min(padding) < 0:
        raise ArgumentError(
            f"`dilated_kernel_size` (={_by(new_size)}) must differ from the {_by(lengths)} taps of layer '{name}' by "
            "an even number, and not fall below them by more than its padding: otherwise its output changes size"
        )
    return tuple(padding)


def _assign_groups(
    entries: list[SwapEntry], keys: Sequence[Hashable], num_coordinates: Sequence[int]
) -> list[SwapEntry]:
    """Label the groups, and charge positions and spreads to the first layer of each."""
    labelled = []
    for index, (entry, group) in enumerate(zip(entries, label_groups(keys), strict=True)):
        extra = num_coordinates[index] if keys.index(keys[index]) == index else 0
        labelled.append(replace(entry, group=group, num_parameters_after=entry.num_parameters_after + extra))
    return labelled


def _expect_convolution(modules: dict[str, nn.Module], entry: SwapEntry) -> nn.Module:
    module = modules.get(entry.name)
    if module is None or not is_plain(module):
        found = "nothing" if module is None else type(module).__name__
        raise ModelError(
            f"layer '{entry.name}' of the plan is not a convolution of this model (found {found}); plan anew"
        )
    if tuple(getattr(module, "kernel_size", ())) != entry.old_kernel_size or module.out_channels != entry.width:
        raise ModelError(f"layer '{entry.name}' has other sizes than in the plan ({module}); plan anew")
    return module


def _replace_modules(model: nn.Module, replacements: dict[int, DclsConv]) -> None:
    """Put new modules in place of old ones under every name they have."""
    for parent in list(model.modules()):
        for child_name, child in list(parent._modules.items()):  # named_children() skips a module's second name
            if id(child) in replacements:
                setattr(parent, child_name, replacements[id(child)])


def _by(size: Sequence[int]) -> str:
    return "x".join(str(taps) for taps in size)
