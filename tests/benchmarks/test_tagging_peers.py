"""Peers of tagging compute the same scores as their packages."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from audio_dcls.errors import ArgumentError
from bench_tools.tagging_peers import PeerBackend, find_panns_models


def clips(duration_s: float = 1.5) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, round(32_000 * duration_s))).astype(np.float32) / 10


def test_an_unknown_peer_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`peer` \(='yamnet'\) must be one of authors, frozen, cnn14"):
        PeerBackend("yamnet", "convnext_atto")


def test_panns_models_come_without_the_package_that_downloads() -> None:
    assert hasattr(find_panns_models(), "Cnn14")
    assert "panns_inference" not in sys.modules
    assert find_panns_models() is find_panns_models()


@pytest.mark.slow  # 80 million weights
def test_cnn14_scores_in_both_precisions() -> None:
    windows = clips(2.0)
    torch.manual_seed(0)
    full = PeerBackend("cnn14", "")
    torch.manual_seed(0)
    half = PeerBackend("cnn14", "", "bf16")
    scores, embeddings = full.run(windows)
    assert scores.shape == (2, 527) and embeddings is None
    np.testing.assert_allclose(half.run(windows)[0], scores, atol=0.02)
    with torch.inference_mode():
        expected = full.model(torch.from_numpy(windows[:1]))["clipwise_output"]
    np.testing.assert_allclose(scores[:1], expected.numpy(), atol=1e-5)


def test_the_frozen_peer_computes_as_the_authors_layers_do() -> None:
    pytest.importorskip("DCLS")
    windows = clips()
    scores = []
    for peer in ("authors", "frozen"):
        torch.manual_seed(0)
        scores.append(PeerBackend(peer, "convnext_atto").run(windows)[0])
    # float32: sums over 529 taps through a dozen layers
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)
