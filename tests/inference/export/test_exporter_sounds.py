"""Parity on ten sounds of a corpus, of different lengths, rates and codecs, for the paper's models at full size."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from audio_dcls.data import load_manifest, read_clip
from audio_dcls.data.demo import write_demo_corpus
from audio_dcls.data.sound.decode import fit_length
from audio_dcls.frontend import FrontendConfig
from audio_dcls.inference.export import export_checkpoint, load_exported
from audio_dcls.labels import LabelSet
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint, save_checkpoint

NUM_SOUNDS = 10
MIN_SAMPLES = 48_000
"""A map can be halved three times from 1.28 s on."""
TOLERANCE = 1e-4
LABELS = LabelSet(tuple("abcdefgh"), tuple("ABCDEFGH"))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    corpus = write_demo_corpus(tmp_path_factory.mktemp("sounds") / "corpus", num_train=30, num_eval=1)
    clips = load_manifest(corpus.manifest, LabelSet.from_csv(corpus.labels)).clips
    found = [read_clip(clip.path) for clip in clips]
    lengths = {len(sound): sound for sound in found if len(sound) >= MIN_SAMPLES}
    return [lengths[length] for length in sorted(lengths)][:: max(1, len(lengths) // NUM_SOUNDS)][:NUM_SOUNDS]


@pytest.mark.slow
@pytest.mark.parametrize("dcls", [True, False], ids=["dcls", "7x7"])
@pytest.mark.parametrize("name", ["convnext_tiny", "convformer_s18", "fastvit_sa24"])
def test_onnx_is_the_model_on_ten_sounds(name: str, dcls: bool, sounds: list[np.ndarray], tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        name=name, layer_scale_init=None if name == "convformer_s18" else 0.1, dcls=DclsConfig() if dcls else None
    )
    model = build_tagger(config, FrontendConfig(), len(LABELS)).eval()
    head = model.backbone.get_classifier()  # type: ignore[operator]
    head = getattr(head, "fc2", head)
    with torch.no_grad():  # a model of these weights says the same of everything until its classifier is louder
        logits = torch.cat([model(torch.from_numpy(sound)[None]) for sound in sounds])
        head.weight.mul_(1 / logits.std(0).mean())
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model, model_config=config, frontend_config=FrontendConfig(), labels=LABELS, info={})
    loaded = load_checkpoint(path)
    exported = export_checkpoint(copy.copy(loaded), tmp_path / "graph.onnx", sounds=sounds)
    assert exported.parity.num_sounds == NUM_SOUNDS and exported.parity.eager <= TOLERANCE
    backend = load_exported(exported.path)
    found = []
    for sound in sounds:
        window = fit_length(sound, max(len(sound), exported.info.min_samples))[None]
        with torch.inference_mode():
            expected = loaded.model(torch.from_numpy(window)).sigmoid().numpy()
        found.append(backend.run(window)[0])
        np.testing.assert_allclose(found[-1], expected, atol=TOLERANCE)
    assert len({len(sound) for sound in sounds}) == NUM_SOUNDS
    assert np.ptp(np.concatenate(found), axis=0).max() > 0.1  # the scores of the sounds differ
