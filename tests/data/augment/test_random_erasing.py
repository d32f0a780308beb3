"""Random erasing: against timm and torchvision, by distribution and by cells."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
import torchvision.transforms
from timm.data.random_erasing import RandomErasing as TimmErasing

from audio_dcls import settings
from audio_dcls.data.augment.augmentation import SpectrogramSize
from audio_dcls.data.augment.random_erasing import RandomErasing, RandomErasingConfig
from audio_dcls.errors import ArgumentError, ConfigError

SMALLEST_P_VALUE = 1e-4
NUM_BINS, NUM_FRAMES = 129, 251
NUM_DRAWS = 3000


def erasing(num_bins: int, num_frames: int, probability: float = 1.0, **values: Any) -> RandomErasing:
    config = RandomErasingConfig(erase_probability=probability, **values)
    return RandomErasing(config, SpectrogramSize(num_bins, 1, num_frames))


def our_boxes(probability: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    ours = erasing(NUM_BINS, NUM_FRAMES, probability)
    return np.stack([ours.draw(rng) for _ in range(NUM_DRAWS)])


def box_of(erased: torch.Tensor) -> list[int]:
    """The rectangle of zeros in a spectrogram of ones, found through its margins: rows first, then columns."""
    rows, columns = (erased[0] == 0).any(1).nonzero(), (erased[0] == 0).any(0).nonzero()
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(rows[0]), int(columns[0]), len(rows), len(columns)]


@pytest.fixture(scope="module")
def peer_boxes() -> dict[str, np.ndarray]:
    random.seed(1)
    torch.manual_seed(1)
    timm_erasing = TimmErasing(probability=1.0, min_area=0.02, max_area=0.33, max_aspect=3.3, device="cpu")
    torchvision_params = torchvision.transforms.RandomErasing.get_params
    ones = torch.ones(1, NUM_BINS, NUM_FRAMES)
    by_timm = [box_of(timm_erasing(ones.clone())) for _ in range(NUM_DRAWS)]
    by_torchvision = [torchvision_params(ones, (0.02, 0.33), (0.3, 3.3), [0.0])[:4] for _ in range(NUM_DRAWS)]
    return {"timm": np.array(by_timm), "torchvision": np.array(by_torchvision)}


@pytest.mark.parametrize("peer", ["timm", "torchvision"])
def test_erased_boxes_are_distributed_as_the_peers(peer, peer_boxes):
    ours, theirs = our_boxes(1.0), peer_boxes[peer]
    theirs = theirs[(theirs[:, 2] < NUM_BINS) & (theirs[:, 3] < NUM_FRAMES)]
    statistics = {
        "area": lambda boxes: boxes[:, 2] * boxes[:, 3],
        "log_ratio": lambda boxes: np.log(boxes[:, 2] / boxes[:, 3]),
        "top": lambda boxes: boxes[:, 0],
        "left": lambda boxes: boxes[:, 1],
    }
    for name, statistic in statistics.items():
        p_value = np.asarray(scipy.stats.ks_2samp(statistic(ours), statistic(theirs)))[1]
        assert p_value > SMALLEST_P_VALUE, name


def test_erased_boxes_stay_inside_and_within_their_area_and_ratio():
    top, left, height, width = our_boxes(1.0).T
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + height <= NUM_BINS).all() and (left + width <= NUM_FRAMES).all()
    share = height * width / (NUM_BINS * NUM_FRAMES)
    assert 0.019 < share.min() and share.max() < 0.34  # 1 %: sides are rounded to whole cells
    assert 0.28 < (height / width).min() and (height / width).max() < 3.5
    # On a spectrogram so large that every draw fits, the share is exactly uniform.
    rng = np.random.default_rng(2)
    ours = erasing(10**6, 10**6, erase_area=(0.02, 0.2))
    large = np.stack([ours.draw(rng) for _ in range(NUM_DRAWS)])
    shares = large[:, 2] * large[:, 3] / 1e12
    assert scipy.stats.kstest(shares, scipy.stats.uniform(0.02, 0.18).cdf).pvalue > SMALLEST_P_VALUE


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_share_of_clips_erased_is_the_probability(probability):
    erased = int((our_boxes(probability)[:, 2] > 0).sum())
    assert scipy.stats.binomtest(erased, NUM_DRAWS, probability).pvalue > SMALLEST_P_VALUE


def test_a_box_that_never_fits_erases_nothing():
    assert erasing(1, 1).draw(np.random.default_rng(0)).tolist() == [0, 0, 0, 0]


def test_erasing_zeroes_those_cells_and_no_others():
    power = torch.rand(4, 5, 8) + 0.1
    boxes = torch.tensor([[0, 0, 0, 0], [1, 2, 3, 4], [0, 0, 5, 8], [4, 7, 1, 1]])
    expected = power.clone()
    for clip, (top, left, height, width) in enumerate(boxes.tolist()):
        expected[clip, top : top + height, left : left + width] = 0
    before, apply = power.clone(), erasing(5, 8).apply
    torch.testing.assert_close(apply(power, boxes), expected, rtol=0, atol=0)
    torch.testing.assert_close(power, before, rtol=0, atol=0)
    assert apply(power[:0], boxes[:0]).shape == (0, 5, 8)


def test_wrong_shapes_and_ranges_are_refused_by_name():
    with pytest.raises(ArgumentError, match="`boxes`"):
        erasing(3, 3).apply(torch.ones(2, 3, 3), torch.zeros(3, 4, dtype=torch.int64))
    bad = {"erase_probability": 1.5, "erase_area": (0.5, 0.2), "erase_ratio": (0.0, 0.2)}
    for key, value in bad.items():
        with pytest.raises(ConfigError, match=f"'{key}"):
            settings.build(RandomErasingConfig, {key: value}, "test")
