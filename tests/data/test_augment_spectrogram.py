"""Random erasing and SpecAugment boxes: against timm and torchvision, by distribution and by cells."""

from __future__ import annotations

import random

import numpy as np
import pytest
import scipy.stats
import torch
import torchvision.transforms
from timm.data.random_erasing import RandomErasing

from audio_dcls.data.augment.spectrogram import draw_erase_box, draw_mask_boxes, erase_boxes, mask_mel
from audio_dcls.errors import ArgumentError

SMALLEST_P_VALUE = 1e-4
NUM_BINS, NUM_FRAMES = 129, 251
NUM_DRAWS = 3000


def our_boxes(probability: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([draw_erase_box(NUM_BINS, NUM_FRAMES, rng, probability) for _ in range(NUM_DRAWS)])


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
    timm_erasing = RandomErasing(probability=1.0, min_area=0.02, max_area=0.33, max_aspect=3.3, device="cpu")
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
    large = np.stack([draw_erase_box(10**6, 10**6, rng, 1.0, area=(0.02, 0.2)) for _ in range(NUM_DRAWS)])
    shares = large[:, 2] * large[:, 3] / 1e12
    assert scipy.stats.kstest(shares, scipy.stats.uniform(0.02, 0.18).cdf).pvalue > SMALLEST_P_VALUE


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_share_of_clips_erased_is_the_probability(probability):
    erased = int((our_boxes(probability)[:, 2] > 0).sum())
    assert scipy.stats.binomtest(erased, NUM_DRAWS, probability).pvalue > SMALLEST_P_VALUE


def test_a_box_that_never_fits_erases_nothing():
    assert draw_erase_box(1, 1, np.random.default_rng(0), 1.0).tolist() == [0, 0, 0, 0]


def test_erase_boxes_zeroes_those_cells_and_no_others():
    power = torch.rand(4, 5, 8) + 0.1
    boxes = torch.tensor([[0, 0, 0, 0], [1, 2, 3, 4], [0, 0, 5, 8], [4, 7, 1, 1]])
    expected = power.clone()
    for clip, (top, left, height, width) in enumerate(boxes.tolist()):
        expected[clip, top : top + height, left : left + width] = 0
    before = power.clone()
    torch.testing.assert_close(erase_boxes(power, boxes), expected, rtol=0, atol=0)
    torch.testing.assert_close(power, before, rtol=0, atol=0)
    assert erase_boxes(power[:0], boxes[:0]).shape == (0, 5, 8)


def test_masks_span_the_other_axis_and_their_widths_are_uniform():
    rng = np.random.default_rng(0)
    boxes = np.stack([draw_mask_boxes(16, 40, rng, freq_mask_mels=5, time_mask_frames=9) for _ in range(3000)])
    band, stretch = boxes[:, 0], boxes[:, 1]
    assert (band[:, [1, 3]] == [0, 40]).all() and (stretch[:, [0, 2]] == [0, 16]).all()
    assert (band[:, 0] + band[:, 2] <= 16).all() and (stretch[:, 1] + stretch[:, 3] <= 40).all()
    assert scipy.stats.chisquare(np.bincount(band[:, 2], minlength=6)).pvalue > SMALLEST_P_VALUE
    assert scipy.stats.chisquare(np.bincount(stretch[:, 3], minlength=10)).pvalue > SMALLEST_P_VALUE
    full_height = band[band[:, 2] == 5][:, 0]
    assert scipy.stats.chisquare(np.bincount(full_height, minlength=12)).pvalue > SMALLEST_P_VALUE


def test_mask_mel_zeroes_the_union_of_the_boxes():
    mel = torch.rand(2, 1, 6, 7) + 0.1
    boxes = torch.tensor([[[1, 0, 2, 7], [0, 3, 6, 2]], [[0, 0, 0, 7], [0, 0, 6, 0]]])
    expected = mel.clone()
    expected[0, :, 1:3] = 0
    expected[0, :, :, 3:5] = 0
    torch.testing.assert_close(mask_mel(mel, boxes), expected, rtol=0, atol=0)


def test_wrong_shapes_and_ranges_are_refused_by_name():
    rng = np.random.default_rng(0)
    with pytest.raises(ArgumentError, match="`boxes`"):
        erase_boxes(torch.ones(2, 3, 3), torch.zeros(3, 4, dtype=torch.int64))
    with pytest.raises(ArgumentError, match="`boxes`"):
        mask_mel(torch.ones(2, 1, 3, 3), torch.zeros(2, 4, dtype=torch.int64))
    with pytest.raises(ArgumentError, match="`probability`"):
        draw_erase_box(5, 5, rng, 1.5)
    with pytest.raises(ArgumentError, match="`area`"):
        draw_erase_box(5, 5, rng, 1.0, area=(0.5, 0.2))
    with pytest.raises(ArgumentError, match="`ratio`"):
        draw_erase_box(5, 5, rng, 1.0, ratio=(0.0, 0.2))
    with pytest.raises(ArgumentError, match="`freq_mask_mels`"):
        draw_mask_boxes(8, 8, rng, freq_mask_mels=9, time_mask_frames=0)
    with pytest.raises(ArgumentError, match="`time_mask_frames`"):
        draw_mask_boxes(8, 8, rng, freq_mask_mels=0, time_mask_frames=-1)
