"""Problems that follow from the measurements of all clips: the same sound twice, wrong lengths, clipping.

N clips. No sound is read here, so a report can be judged again by other rules at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from audio_dcls.data.audit.outcomes import UNKNOWN
from audio_dcls.data.audit.problems import CLIPPED, DUPLICATE, LEAKED, WRONG_LENGTH, ClipWarning, Duplicates
from audio_dcls.data.audit.report import ClipReport
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ArgumentError

_HELD_OUT_NAMES = ("eval", "test", "val")
"""Names of held-out splits begin with one of these."""


@dataclass(frozen=True)
class AuditRules:
    """Rules beyond those that each clip must meet by itself."""

    clip_s: float | None = None
    """Length in seconds of clips without times in the manifest; None does not check their length."""
    length_tolerance_s: float = 0.5
    """Largest difference in seconds from the expected length."""
    clipped_share: float = 0.01
    """Share of samples at full scale, 0 to 1, from which on a clip counts as clipped."""
    duplicates: Duplicates | None = "keep"
    """If a sound occurs twice in a split, the later clip is excluded (`drop`) or used with a warning (`keep`). A sound
    that occurs in two splits is always a fault. None does not compare clips."""
    sides: tuple[tuple[str, ...], ...] = ()
    """Groups of splits, held-out groups first: if a sound occurs in two groups, the clip in the first one stays. All
    splits that are not named form the last group. If empty, every split is a group, in the order of `default_sides`."""

    def __post_init__(self) -> None:
        for name, low, high in (("length_tolerance_s", 0.0, float("inf")), ("clipped_share", 0.0, 1.0)):
            if not low <= getattr(self, name) <= high:
                raise ArgumentError(f"`{name}` (={getattr(self, name)}) must be from {low:g} to {high:g}; fix it")
        if self.clip_s is not None and not 0 < self.clip_s < float("inf"):
            raise ArgumentError(f"`clip_s` (={self.clip_s}) must be above 0; leave it out for any length")


def default_sides(split_names: Sequence[str], held_out: Sequence[str] | None = None) -> tuple[tuple[str, ...], ...]:
    """Every split as a group of its own, held-out splits first.

    If `held_out` is None, these are the splits whose names begin with eval, test or val. Raise an ArgumentError if a
    name in it is not that of a split.

    >>> default_sides(["train", "eval", "unbalanced_train"])
    (('eval',), ('train',), ('unbalanced_train',))
    """
    if held_out is None:
        held_out = [name for name in split_names if name.lower().startswith(_HELD_OUT_NAMES)]
    unknown = [name for name in held_out if name not in split_names]
    if unknown:
        raise ArgumentError(f"`held_out` names '{unknown[0]}', which must be one of {', '.join(split_names)}; fix it")
    return tuple((name,) for name in (*held_out, *(name for name in split_names if name not in held_out)))


def judge(report: ClipReport, rules: AuditRules) -> ClipReport:
    """The report, from `check_clips` or judged before, with the faults and warnings that its measurements give."""
    table, outcomes = report.table, report.outcomes.with_faults([])
    repeated = (
        list(_repeated(table, outcomes.records["content"], outcomes.is_usable, rules)) if rules.duplicates else []
    )
    outcomes = outcomes.with_faults(sorted(w for w in repeated if w.reason == LEAKED or rules.duplicates == "drop"))
    kept = [] if rules.duplicates == "drop" else [warning for warning in repeated if warning.reason == DUPLICATE]
    is_usable = outcomes.is_usable
    warnings = [
        *kept,
        *_clipped(table, np.where(is_usable, outcomes.records["clipped_share"], UNKNOWN), rules),
        *_wrong_lengths(table, np.where(is_usable, outcomes.duration_s, UNKNOWN), rules),
    ]
    return replace(report, outcomes=outcomes, clip_warnings=tuple(sorted(warnings)))


def _repeated(table: ClipTable, content: np.ndarray, is_usable: np.ndarray, rules: AuditRules) -> Iterator[ClipWarning]:
    """Usable clips with the same sound as another clip that stays."""
    sides = rules.sides or default_sides(table.split_names)
    side_of = {name: number for number, names in enumerate(sides) for name in names}
    side = np.array([side_of.get(name, len(sides)) for name in table.split_names], dtype=np.int64)[table.split_codes]
    rows = np.flatnonzero(is_usable & (content != b""))
    _, group = np.unique(content[rows], return_inverse=True)
    order = np.lexsort((rows, side[rows], group))
    rows, group = rows[order], group[order]
    is_first = np.diff(group, prepend=-1) != 0
    stays = np.repeat(rows[is_first], np.diff(np.append(np.flatnonzero(is_first), len(rows))))
    for row, other in zip(rows[~is_first].tolist(), stays[~is_first].tolist(), strict=True):
        clip, first = table[row], table[other]
        if side[row] == side[other]:
            message = f"'{clip.path}' holds the same sound as clip '{first.id}' ('{first.path}'); remove one of the two"
        else:
            message = (
                f"'{clip.path}', of split '{clip.split}', holds the same sound as clip '{first.id}' ('{first.path}') "
                f"of split '{first.split}'; remove it from '{clip.split}'"
            )
        yield ClipWarning(row, DUPLICATE if side[row] == side[other] else LEAKED, message)


def _clipped(table: ClipTable, shares: np.ndarray, rules: AuditRules) -> Iterator[ClipWarning]:
    for row in np.flatnonzero((shares >= rules.clipped_share) & (shares > 0)).tolist():
        message = (
            f"'{table[row].path}' has {shares[row]:.2%} of its samples at full scale, which should be under "
            f"{rules.clipped_share:.2%}; find a better source, or keep it"
        )
        yield ClipWarning(row, CLIPPED, message)


def _wrong_lengths(table: ClipTable, durations_s: np.ndarray, rules: AuditRules) -> Iterator[ClipWarning]:
    by_times_s = table.end_s - np.nan_to_num(table.start_s)
    expected_s = np.where(np.isnan(by_times_s), np.nan if rules.clip_s is None else rules.clip_s, by_times_s)
    is_wrong = (durations_s != UNKNOWN) & (np.abs(durations_s - expected_s) > rules.length_tolerance_s)
    for row in np.flatnonzero(is_wrong).tolist():
        by = "the clip length" if np.isnan(by_times_s[row]) else "its times"
        message = (
            f"'{table[row].path}' gives {durations_s[row]:.2f} s of sound, {expected_s[row]:.2f} by {by} (at most "
            f"{rules.length_tolerance_s:g} apart); fix the times, or keep it"
        )
        yield ClipWarning(row, WRONG_LENGTH, message)
