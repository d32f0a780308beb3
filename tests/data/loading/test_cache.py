"""The waveform cache: what goes in comes out, in every process, and too much is refused at once."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from audio_dcls.data.loading.cache import WaveformCache
from audio_dcls.errors import ArgumentError


def test_stored_waveforms_come_back_bit_for_bit_and_cannot_be_changed():
    cache = WaveformCache(3, 5)
    waveforms = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    for index in (2, 0):
        cache.put(index, waveforms[index])
    assert cache.get(1) is None
    for index in (0, 2):
        stored = cache.get(index)
        assert stored is not None
        np.testing.assert_array_equal(stored, waveforms[index])
        with pytest.raises(ValueError, match="read-only"):
            stored[:] = 7


def test_another_process_fills_it():
    cache = WaveformCache(2, 4)
    child = multiprocessing.get_context("fork").Process(target=cache.put, args=(1, np.arange(4, dtype=np.float32)))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    stored = cache.get(1)
    assert stored is not None and stored.tolist() == [0, 1, 2, 3]


def test_an_empty_cache_can_be_made():
    assert WaveformCache(0, 320_000).num_clips == 0


@pytest.mark.parametrize("waveform", [np.zeros(4, np.float32), np.zeros(5), np.zeros((1, 5), np.float32)])
def test_other_lengths_and_types_are_refused(waveform):
    with pytest.raises(ArgumentError, match=r"must be float32 \(5,\)"):
        WaveformCache(1, 5).put(0, waveform)


def test_more_than_the_machine_has_is_refused_before_anything_is_read():
    with pytest.raises(ArgumentError, match=r"`cache` \(='memory'\) needs 12800000.0 GB.*set it to 'none'"):
        WaveformCache(10_000_000_000, 320_000)
