"""Folds: splits named `fold1`, `fold2`, ..., one of which is held out while the others are trained on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from audio_dcls.errors import ConfigError

_FOLD = re.compile(r"fold(0|[1-9]\d*)")


class SplitNames(NamedTuple):
    """The splits for training and the splits for measuring."""

    train: tuple[str, ...]
    eval: tuple[str, ...]


def fold_name(fold: int) -> str:
    """The name of the split that holds a fold.

    >>> fold_name(3)
    'fold3'
    """
    return f"fold{fold}"


def fold_numbers(splits: Iterable[str]) -> list[int]:
    """The numbers of the splits that are folds, in ascending order.

    >>> fold_numbers(["fold10", "fold2", "train", "fold02"])
    [2, 10]
    """
    return sorted(int(match[1]) for match in map(_FOLD.fullmatch, splits) if match)


def hold_out(fold: int, splits: Iterable[str], source: str) -> SplitNames:
    """Train on every fold except one, and measure on that one; splits that are not folds are left out.

    Raise a ConfigError, which names `source`, if the fold does not exist among `splits`, or is the only one.

    >>> hold_out(2, ["fold1", "fold2", "fold3"], "esc50.csv")
    SplitNames(train=('fold1', 'fold3'), eval=('fold2',))
    """
    splits = list(splits)
    numbers = fold_numbers(splits)
    if fold not in numbers:
        remedy = f"name one of its folds {numbers}" if numbers else "leave `data.fold` out and name its splits"
        raise ConfigError(
            f"`data.fold` (={fold}) must be a fold of '{source}', which has the splits {splits}: {remedy}"
        )
    train = tuple(fold_name(number) for number in numbers if number != fold)
    if not train:
        raise ConfigError(f"`data.fold` (={fold}) is the only fold of '{source}': at least one more is needed to train")
    return SplitNames(train=train, eval=(fold_name(fold),))
