"""The examples of docs/extending.md do what the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from fastapi.testclient import TestClient

import audio_dcls
from audio_dcls.counted_random import counted_rng
from audio_dcls.data.augment.augmentation import Augmentation, SpectrogramSize
from audio_dcls.errors import ModelError
from audio_dcls.evaluation import metrics
from audio_dcls.frontend import FrontendConfig
from audio_dcls.inference.export import export_checkpoint
from audio_dcls.inference.export.formats import FORMATS
from audio_dcls.labels import LabelSet
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger, prepare_for_inference
from audio_dcls.models.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from audio_dcls.models.families import registry
from audio_dcls.service.app import build_app
from audio_dcls.service.settings import ServiceSettings

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"


def code_of(section: str) -> str:
    """The Python block of a section."""
    text = GUIDE.read_text(encoding="utf-8").partition(f"## {section}\n")[2].partition("\n## ")[0]
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None, section
    return code.group(1)


def example(section: str) -> dict[str, Any]:
    """The names that the Python block of a section defines."""
    names: dict[str, Any] = {}
    exec(code_of(section), names)
    return names


def test_a_backbone_family(monkeypatch: pytest.MonkeyPatch) -> None:
    family = example("A backbone family")["POOLFORMER"]
    monkeypatch.setattr(registry, "FAMILIES", (*registry.FAMILIES, family))
    assert "poolformerv2_s12" in registry.member_names(family)
    tagger = build_tagger(ModelConfig(name="poolformerv2_s12"), FrontendConfig(clip_s=2.0), 3).eval()
    clips = torch.randn(2, 64_000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = tagger(clips)
        after = prepare_for_inference(tagger)(clips)
    assert before.shape == (2, 3) and before.isfinite().all()
    torch.testing.assert_close(after, before)


def test_a_family_without_depthwise_kernels_is_not_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    family = example("A backbone family")["POOLFORMER"]
    monkeypatch.setattr(registry, "FAMILIES", (*registry.FAMILIES, family))
    with pytest.raises(ModelError, match="matches no layer"):
        build_tagger(ModelConfig(name="poolformerv2_s12", dcls=DclsConfig()), FrontendConfig(clip_s=2.0), 3)


def test_a_dataset_importer(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / "audio" / name, np.zeros(1600), 16_000)
    (tmp_path / "birds.csv").write_text("file,species,split\na.wav,wren,train\nb.wav,robin,eval\n")
    found = example("A dataset importer")["import_birds"](tmp_path)
    assert found.manifest.labels.names == ("robin", "wren")
    assert [(clip.id, clip.labels, clip.split) for clip in found.manifest.clips] == [
        ("a", (1,), "train"),
        ("b", (0,), "eval"),
    ]
    assert (found.num_found, found.num_missing) == (2, 0)


def test_a_waveform_augmentation() -> None:
    names = example("A waveform augmentation")
    polarity = names["Polarity"](names["PolarityConfig"](flip_probability=0.5))
    waveform = np.ones(4, dtype=np.float32)
    signs = [Augmentation(0, [polarity]).change_waveform(waveform, 0, index)[0] for index in range(400)]
    assert polarity.is_on and 0.4 < np.mean(np.array(signs) < 0) < 0.6
    assert not names["Polarity"](names["PolarityConfig"]()).is_on


def test_a_spectrogram_augmentation() -> None:
    names = example("A spectrogram augmentation")
    roll = names["MelRoll"](names["MelRollConfig"](roll_mels=3), SpectrogramSize(513, 8, 5))
    draws = torch.from_numpy(np.stack([roll.draw(counted_rng(0, index, stream="x")) for index in range(50)]))
    assert set(draws.tolist()) == set(range(-3, 4))
    mel = torch.arange(16.0).reshape(2, 1, 8, 1)
    rolled = roll.apply(mel, torch.tensor([1, -2]))
    assert rolled[0, 0, :, 0].tolist() == [7, 0, 1, 2, 3, 4, 5, 6]
    assert rolled[1, 0, :, 0].tolist() == [10, 11, 12, 13, 14, 15, 8, 9]


def test_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "METRICS", dict(metrics.METRICS))
    example("A metric")
    targets, scores = np.array([[1, 0], [0, 1], [1, 0]]), np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    assert metrics.tagging_metrics(targets, scores).scores["top1_hit_rate"] == pytest.approx(2 / 3)


def test_a_figure() -> None:
    tagger = build_tagger(ModelConfig(name="convnext_atto", overrides={"depths": [1, 1, 1, 1]}), FrontendConfig(), 3)
    (item,) = example("A figure")["near_zero"](SimpleNamespace(model=tagger))
    assert item.figure is not None and len(item.figure.axes) == 1
    shares = {row["layer"]: row["share"] for row in item.rows}
    assert "stages.0.blocks.0.conv_dw.weight" in shares and all(0 <= share < 1 for share in shares.values())


def test_the_module_of_a_figure_can_be_imported_first(tmp_path: Path) -> None:
    package = tmp_path / "audio_dcls"
    shutil.copytree(Path(audio_dcls.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "inspection/report/near_zero_chapter.py").write_text(code_of("A figure"))
    chapters = package / "inspection/report/chapters.py"
    listed = "CHAPTERS: dict[str, Chapter] = {\n"
    text = chapters.read_text(encoding="utf-8")
    assert listed in text
    text = text.replace(listed, f'{listed}    "near-zero": Chapter(near_zero),\n')
    module = "audio_dcls.inspection.report.near_zero_chapter"
    first_import = "from audio_dcls.inspection.report."
    text = text.replace(first_import, f"from {module} import near_zero\n{first_import}", 1)
    chapters.write_text(text, encoding="utf-8")
    program = (
        f"from {module} import near_zero\nfrom audio_dcls.inspection.report.chapters import CHAPTERS\n"
        "assert near_zero in [value for chapter in CHAPTERS.values() for value in vars(chapter).values()]"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    assert ended.returncode == 0


def test_an_export_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "npz", example("An export format")["NPZ"])
    model_config = ModelConfig(name="convnext_atto", overrides={"depths": [1, 1, 1, 1]}, dcls=DclsConfig())
    frontend_config = FrontendConfig(clip_s=2.0)
    model = build_tagger(model_config, frontend_config, 3).eval()
    save_checkpoint(
        tmp_path / "model.safetensors",
        model,
        model_config=model_config,
        frontend_config=frontend_config,
        labels=LabelSet(tuple("abc"), tuple("ABC")),
        info={"activation": "sigmoid"},
    )
    exporting: Any = export_checkpoint
    exported = exporting(load_checkpoint(tmp_path / "model.safetensors"), tmp_path / "weights.npz", "npz")
    assert exported.parity.is_kept and "numpy.load" in exported.card_path.read_text()
    with np.load(exported.path) as arrays:
        assert arrays["stages.0.blocks.0.conv_dw.weight"].shape[2:] == (23, 23)


def test_a_route(tmp_path: Path) -> None:
    app = build_app(ServiceSettings(state_dir=tmp_path))
    app.include_router(example("A route")["build_router"]())
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        answer = client.get("/v1/labels/audioset")
    assert answer.status_code == 200 and len(answer.json()) == 527
