"""Rules that choose the convolutions of a swap."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from audio_dcls.dcls.depthwise.operator import DepthwiseConv2d
from audio_dcls.errors import ArgumentError, ModelError

PLAIN_CONVOLUTIONS: dict[type[nn.Module], int] = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3, DepthwiseConv2d: 2}
"""Convolution classes that a DCLS layer can replace, with their number of axes."""

Predicate = Callable[[str, nn.Module], bool]


@dataclass(frozen=True)
class SwapRule:
    """A choice of convolutions.

    Args:
        name: short name, for configs and reports.
        reason: a phrase that says why a matching layer is swapped.
        matches: maps the path of a module and the module to True if it is swapped.
    """

    name: str
    reason: str
    matches: Predicate


def is_plain(module: nn.Module) -> bool:
    """True if a module is a convolution of torch or ours, not a subclass with its own arithmetic."""
    return type(module) in PLAIN_CONVOLUTIONS


def is_depthwise(module: nn.Module) -> bool:
    """True if a convolution does not mix channels.

    >>> is_depthwise(nn.Conv2d(8, 8, 3, groups=8)), is_depthwise(nn.Conv2d(8, 16, 3, groups=8))
    (True, False)
    """
    groups = getattr(module, "groups", None)
    return isinstance(groups, int) and groups > 1 and groups == module.in_channels == module.out_channels


def _matches_paper(name: str, module: nn.Module) -> bool:
    if type(module) not in (nn.Conv2d, DepthwiseConv2d) or not is_depthwise(module):
        return False
    return module.kernel_size == (7, 7) and module.stride == (1, 1)


def _matches_depthwise(name: str, module: nn.Module) -> bool:
    return _matches_every(name, module) and is_depthwise(module)


def _matches_every(name: str, module: nn.Module) -> bool:
    return (
        isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and is_plain(module) and math.prod(module.kernel_size) > 1
    )


_RULES = {
    rule.name: rule
    for rule in (
        # in = out = groups, 7x7: the layers that "Audio classification with DCLS" (arXiv 2309.13972) replaces
        SwapRule("paper", "depthwise 7x7 of stride 1", _matches_paper),
        SwapRule("depthwise", "depthwise, above one tap", _matches_depthwise),
        # as the thesis does with ResNet-50; a pointwise convolution has nothing to dilate
        SwapRule("every", "convolution above one tap", _matches_every),
    )
}


def find_rule(rule: str | SwapRule | Predicate) -> SwapRule:
    """The rule with a name (`ModelError` if there is none), the rule itself, or a rule made from a predicate.

    >>> find_rule("paper").reason
    'depthwise 7x7 of stride 1'
    """
    if isinstance(rule, SwapRule):
        return rule
    if not isinstance(rule, str):
        _check_predicate(rule)
        return SwapRule("predicate", "chosen by the predicate", rule)
    if rule not in _RULES:
        raise ModelError(f"`rule` (={rule!r}) must be one of {', '.join(_RULES)}, a SwapRule, or a predicate")
    return _RULES[rule]


def _check_predicate(rule: object) -> None:
    wanted = f"`rule` (={rule!r}) must be one of {', '.join(_RULES)}, a SwapRule, or a function of (name, module)"
    if not callable(rule):
        raise ArgumentError(wanted)
    try:
        inspect.signature(rule).bind("", None)
    except TypeError as error:
        raise ArgumentError(f"{wanted}: it cannot be called with those two ({error})") from error
    except ValueError:
        return  # a builtin without a signature
