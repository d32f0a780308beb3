"""Check the clips of a manifest: find those that can be used, and why the others cannot.

Every clip is decoded as training would decode it, by threads: libsndfile and NumPy release Python's lock, and threads
need no start-up. A file that has not changed since a previous report is not decoded again.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from audio_dcls.data.audit.journal import CheckJournal
from audio_dcls.data.audit.outcomes import CONTENT_BYTES, NO_FILE, USABLE, Outcome, OutcomeTable
from audio_dcls.data.audit.problems import DERIVED
from audio_dcls.data.audit.report import ClipReport, absolute_paths
from audio_dcls.data.parallel import map_in_batches
from audio_dcls.data.sound.decode import check_waveform, decode_mono
from audio_dcls.data.sound.sound_file import cannot_be_read, unlisted_content
from audio_dcls.data.sound.stored_sound import EncodedSound, PcmSound, StoredSound
from audio_dcls.data.sources import stored_sound
from audio_dcls.data.stores.reader import is_packed
from audio_dcls.data.table.clip import Clip
from audio_dcls.data.table.clip_table import ClipTable
from audio_dcls.errors import ArgumentError, AudioFileError
from audio_dcls.files import file_sha256

_FULL_SCALE = 0.9999
"""Samples from this value on count as clipped; the largest of 16 bits is 0.99997."""
_KEYS_AT_ONCE = 65_536
_KEY_BYTES = 8
"""Two of two million clips have the same key with a probability of 1e-7, and then differ in size or time of change."""


def check_clips(
    clips: Sequence[Clip],
    *,
    num_workers: int = 0,
    previous: Sequence[ClipReport] = (),
    trust_packs: bool = False,
    journal: CheckJournal | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> ClipReport:
    """Decode every clip and report which can be used, without comparing clips (`audit_clips` compares them).

    Each of `num_workers` threads decodes; 0 decodes in the calling thread, with the same result. `previous` are older
    reports, oldest first: the outcome of a clip is kept if its file still has the same size and time of change. If
    `trust_packs` is true, rows of packed shards, each decoded when it was packed, count as usable without reading them.
    `journal` records every clip that is read, and `on_progress` is called with the number of clips done since the last
    call. Raise an ArgumentError if `num_workers` is negative, and a ManifestError if the journal cannot be written.
    """
    if num_workers < 0:
        raise ArgumentError(f"`num_workers` (={num_workers}) must be at least 0; 0 decodes in the calling thread")
    table = clips if isinstance(clips, ClipTable) else ClipTable.from_clips(clips)
    known = _KnownOutcomes(previous)
    examine = functools.partial(_examine, known=known, trust_packs=trust_packs)
    keyed = zip(table, _keys(table, bool(previous)), strict=True)

    def outcomes() -> Iterator[Outcome]:
        for batch in map_in_batches(examine, keyed, num_workers):
            if journal is not None:
                for examined in batch:
                    if examined.is_fresh:
                        journal.add(examined.clip, examined.outcome)
            if on_progress is not None:
                on_progress(len(batch))
            yield from (examined.outcome for examined in batch)

    try:
        return ClipReport(table, OutcomeTable.from_outcomes(outcomes()))
    finally:
        if journal is not None:
            journal.flush()


class _Examined(NamedTuple):
    clip: Clip
    outcome: Outcome
    is_fresh: bool
    """True if the sound was read now."""


def _keys(table: ClipTable, needed: bool) -> np.ndarray:
    """Keys of all clips, or zeros if there is no report to look them up in."""
    if not needed:
        return np.zeros(len(table), dtype=np.uint64)
    firsts = range(0, len(table), _KEYS_AT_ONCE)
    parts = [_sound_keys(table.take(np.arange(first, min(first + _KEYS_AT_ONCE, len(table))))) for first in firsts]
    return np.concatenate([np.zeros(0, dtype=np.uint64), *parts])


def _sound_keys(table: ClipTable) -> np.ndarray:
    """Keys (N,) uint64 of the file, times, row and digest of each clip, which determine its sound."""
    rows = [-1] * len(table) if table.rows is None else table.rows.tolist()
    columns = zip(
        absolute_paths(table), table.start_s.tolist(), table.end_s.tolist(), table.sha256.to_list(), rows, strict=True
    )
    keys = b"".join(
        hashlib.blake2b(repr(values).encode(), digest_size=_KEY_BYTES, usedforsecurity=False).digest()
        for values in columns
    )
    return np.frombuffer(keys, dtype=np.uint64)


class _KnownOutcomes:
    """Outcomes in earlier reports, oldest first; of two outcomes of the same sound, the later one counts."""

    def __init__(self, reports: Sequence[ClipReport]) -> None:
        self.reports = tuple(reports)
        keys = [_sound_keys(report.table) for report in self.reports]
        joined = np.concatenate([np.zeros(0, dtype=np.uint64), *keys])
        self._ends = np.cumsum([len(part) for part in keys])
        self._keys, last = np.unique(joined[::-1], return_index=True)
        self._places = len(joined) - 1 - last

    def find(self, key: np.uint64, num_bytes: int, modified_ns: int) -> Outcome | None:
        """The earlier outcome of a sound whose file has not changed; None if the sound must be read."""
        if num_bytes == NO_FILE or not len(self._keys):
            return None
        place = int(np.searchsorted(self._keys, key))
        if place == len(self._keys) or self._keys[place] != key:
            return None
        row = int(self._places[place])
        number = int(np.searchsorted(self._ends, row, side="right"))
        outcome = self.reports[number].outcomes[row - (int(self._ends[number - 1]) if number else 0)]
        if (outcome.num_bytes, outcome.modified_ns) != (num_bytes, modified_ns):
            return None
        return outcome._replace(reason=USABLE, message="") if outcome.reason in DERIVED else outcome


def _examine(keyed: tuple[Clip, np.uint64], *, known: _KnownOutcomes, trust_packs: bool) -> _Examined:
    clip, key = keyed
    if trust_packs and clip.row is not None and is_packed(clip.path):
        return _Examined(clip, Outcome(USABLE, "", NO_FILE, NO_FILE), False)
    try:
        status = clip.path.stat()
        num_bytes, modified_ns = status.st_size, status.st_mtime_ns
    except (OSError, ValueError):  # reading the file below reports what is wrong
        num_bytes, modified_ns = NO_FILE, NO_FILE
    before = known.find(key, num_bytes, modified_ns)
    if before is not None:
        return _Examined(clip, before, False)
    try:
        outcome = _measure(clip, num_bytes, modified_ns)
    except AudioFileError as error:
        outcome = Outcome(error.reason, str(error), num_bytes, modified_ns)
    return _Examined(clip, outcome, True)


def _measure(clip: Clip, num_bytes: int, modified_ns: int) -> Outcome:
    """Decode a clip; raise an AudioFileError if it cannot be used."""
    sound = stored_sound(clip)
    if clip.sha256 is not None:
        _check_content(sound, clip.sha256)
    waveform, rate_hz = decode_mono(sound, start_s=clip.start_s, end_s=clip.end_s)
    check_waveform(waveform, rate_hz, sound)
    num_clipped = np.count_nonzero(waveform >= _FULL_SCALE) + np.count_nonzero(waveform <= -_FULL_SCALE)
    digest = hashlib.blake2b(rate_hz.to_bytes(4, "little"), digest_size=CONTENT_BYTES, usedforsecurity=False)
    digest.update(waveform.tobytes())
    return Outcome(
        USABLE,
        "",
        num_bytes,
        modified_ns,
        duration_s=len(waveform) / rate_hz,
        clipped_share=float(num_clipped / len(waveform)),
        content=digest.digest(),
    )


def _check_content(sound: Path | StoredSound, sha256: str) -> None:
    """Refuse a sound that is not the one listed; a missing file is left to the decoder."""
    if isinstance(sound, EncodedSound):
        found = hashlib.sha256(sound.content).hexdigest()
    elif isinstance(sound, PcmSound):
        found = hashlib.sha256(sound.samples.tobytes()).hexdigest()
    elif sound.is_file():
        try:
            found = file_sha256(sound)
        except OSError as error:
            raise cannot_be_read(sound, error) from error
    else:
        return
    if found != sha256:
        raise unlisted_content(sound, found, sha256)
