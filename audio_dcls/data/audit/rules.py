"""What follows from the measurements of all clips together: the same sound twice, lengths, clipping.

N clips. Nothing is read here, so a report can be judged anew by other rules at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from audio_dcls.data.audit.fault_kinds import CLIPPED, DUPLICATE, LEAKED, WRONG_LENGTH, Duplicates
from audio_dcls.data.audit.outcomes import UNKNOWN
from audio_dcls.data.audit.report import ClipReport, ClipWarning
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ArgumentError

HELD_OUT_NAMES = ("eval", "test", "val")
"""Beginnings of names of splits that are measured on."""


@dataclass(frozen=True)
class AuditRules:
    """What counts as wrong beyond what makes a clip unusable by itself."""

    clip_s: float | None = None
    """Length of clips whose times the manifest does not say, in seconds; None leaves theirs unchecked."""
    length_tolerance_s: float = 0.5
    """Seconds a clip may be shorter or longer."""
    clipped_share: float = 0.01
    """Share of samples at full scale, 0 to 1, from which a clip counts as clipped."""
    duplicates: Duplicates | None = "keep"
    """The same sound twice in a split: the later clip is left out (`drop`) or used with a warning (`keep`). In two
    splits it is always a fault. None compares nothing."""
    sides: tuple[tuple[str, ...], ...] = ()
    """Splits that count as one, those held out first: of the same sound on two sides, the clip on the first stays.
    Splits not named are one side, the last. Empty: every split is a side, in the order of `default_sides`."""

    def __post_init__(self) -> None:
        for name, low, high in (("length_tolerance_s", 0.0, float("inf")), ("clipped_share", 0.0, 1.0)):
            if not low <= getattr(self, name) <= high:
                raise ArgumentError(f"`{name}` (={getattr(self, name)}) must be {low:g} to {high:g}; mend it")
        if self.clip_s is not None and not 0 < self.clip_s < float("inf"):
            raise ArgumentError(f"`clip_s` (={self.clip_s}) must be above 0; leave it out for any length")


def default_sides(split_names: Sequence[str], held_out: Sequence[str] | None = None) -> tuple[tuple[str, ...], ...]:
    """Every split a side, held-out ones first.

    Args:
        split_names: all splits.
        held_out: those measured on; None takes those whose names begin with eval, test or val.

    >>> default_sides(["train", "eval", "unbalanced_train"])
    (('eval',), ('train',), ('unbalanced_train',))
    """
    if held_out is None:
        held_out = [name for name in split_names if name.lower().startswith(HELD_OUT_NAMES)]
    unknown = [name for name in held_out if name not in split_names]
    if unknown:
        raise ArgumentError(f"`held_out` names '{unknown[0]}', which must be one of {', '.join(split_names)}; mend it")
    return tuple((name,) for name in (*held_out, *(name for name in split_names if name not in held_out)))


def judge(report: ClipReport, rules: AuditRules) -> ClipReport:
    """The report with faults and warnings that follow from measurements.

    Args:
        report: of `check_clips`, or one judged before.
        rules: what counts as wrong.
    """
    table, outcomes = report.table, report.outcomes.with_faults([], [], [])
    repeated = list(_repeated(table, outcomes.content, outcomes.is_usable, rules)) if rules.duplicates else []
    faults = sorted(w for w in repeated if w.reason == LEAKED or rules.duplicates == "drop")
    outcomes = outcomes.with_faults(
        [fault.index for fault in faults], [fault.reason for fault in faults], [fault.message for fault in faults]
    )
    kept = [] if rules.duplicates == "drop" else [warning for warning in repeated if warning.reason == DUPLICATE]
    is_usable = outcomes.is_usable
    warnings = [
        *kept,
        *_clipped(table, np.where(is_usable, outcomes.clipped_share, UNKNOWN), rules),
        *_wrong_lengths(table, np.where(is_usable, outcomes.duration_s, UNKNOWN), rules),
    ]
    return replace(report, outcomes=outcomes, clip_warnings=tuple(sorted(warnings)))


def _repeated(table: ClipTable, content: np.ndarray, is_usable: np.ndarray, rules: AuditRules) -> Iterator[ClipWarning]:
    """Usable clips whose sound another clip has that stays."""
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
            yield ClipWarning(row, DUPLICATE, message)
        else:
            yield ClipWarning(
                row,
                LEAKED,
                f"'{clip.path}', of split '{clip.split}', holds the same sound as clip '{first.id}' ('{first.path}') "
                f"of split '{first.split}'; remove it from '{clip.split}'",
            )


def _clipped(table: ClipTable, shares: np.ndarray, rules: AuditRules) -> Iterator[ClipWarning]:
    for row in np.flatnonzero((shares >= rules.clipped_share) & (shares > 0)).tolist():
        message = (
            f"'{table[row].path}' has {shares[row]:.2%} of its samples at full scale, which should be under "
            f"{rules.clipped_share:.2%}; find a better source, or leave it"
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
            f"{rules.length_tolerance_s:g} apart); mend the times, or leave it"
        )
        yield ClipWarning(row, WRONG_LENGTH, message)
