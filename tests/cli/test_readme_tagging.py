"""README's section on tagging runs as it is written."""

from __future__ import annotations

import io
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from audio_dcls.frontend import FrontendConfig
from audio_dcls.labels import LabelSet
from audio_dcls.models import DclsConfig, ModelConfig, build_tagger
from audio_dcls.models.checkpoint.checkpoint import save_checkpoint
from audio_dcls.runs.config import TrainConfig
from audio_dcls.runs.study_dir import StudyDir

README = Path(__file__).parents[2] / "README.md"
LABELS = LabelSet(("/m/03kmc9", "/m/09x0r", "/m/04rlf"), ("Siren", "Speech", "Music"))
NUM_COMMANDS = 6


def section() -> str:
    text = README.read_text(encoding="utf-8")
    return text[text.index("\n## Tag sounds") :].split("\n## ")[1]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", section(), re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the section takes for granted: a run, a sound, and a folder of them."""
    monkeypatch.chdir(tmp_path)
    config = TrainConfig(name="demo")
    study = StudyDir("runs/demo-20261123-043649")
    study.create(config)
    run = study.run(0)
    checkpoint = run.checkpoint_path(1)
    checkpoint.mkdir(parents=True)
    torch.manual_seed(0)
    model = ModelConfig(name="convnext_atto", overrides={"depths": [1, 1, 1, 1]}, dcls=DclsConfig())
    frontend = FrontendConfig(clip_s=4.0)
    tagger = build_tagger(model, frontend, len(LABELS))
    head: Any = tagger.backbone.get_classifier()  # type: ignore[operator]
    torch.nn.init.constant_(head.bias, 0.5)  # everything is heard everywhere
    save_checkpoint(
        checkpoint / "model.safetensors",
        tagger,
        model_config=model,
        frontend_config=frontend,
        labels=LABELS,
        info={},
    )
    (checkpoint / "state.safetensors").touch()
    run.write_status(state="done")
    rng = np.random.default_rng(0)
    Path("recordings/deep").mkdir(parents=True)
    for name, seconds in (("street.wav", 6.0), ("recordings/a.flac", 1.0), ("recordings/deep/b.ogg", 5.0)):
        soundfile.write(name, rng.uniform(-0.3, 0.3, (round(seconds * 44_100), 2)), 44_100)
    return tmp_path


class Pipe:
    def __init__(self, path: str) -> None:
        self.buffer = io.BytesIO(Path(path).read_bytes())

    def isatty(self) -> bool:
        return False


def test_its_commands_run(folder: Path, command_line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (commands,) = blocks("")
    lines = commands.strip().splitlines()
    assert len(lines) == NUM_COMMANDS
    printed = []
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[0] == "cat":
            monkeypatch.setattr(sys, "stdin", Pipe(words[1]))
            words = words[words.index("|") + 1 :]
        assert words[0] == "audio-dcls"
        printed.append(command_line(*words[1:]).stdout)
    assert "Model: runs/demo-20261123-043649/seed-0" in printed[0] and all(name in printed[0] for name in LABELS.names)
    assert Path("tags.jsonl").read_text().count("\n") == 2
    assert len(pd.read_csv("street.csv")) and Path("street.png").read_bytes().startswith(b"\x89PNG")
    assert "Speech" in printed[3] and "Music" not in printed[3]
    assert list(pd.read_parquet("recordings.parquet")["path"]) == ["recordings/a.flac", "recordings/deep/b.ogg"]
    assert printed[5].startswith('{"path": "-"')


def test_its_python_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(code, str(README), "exec"), names)
    assert capsys.readouterr().out.splitlines() == [f"{tag.score:.2f}  {tag.name}" for tag in names["result"].tags]
    assert len(names["result"].tags) == len(LABELS)


def test_what_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)]+)\)", section())
    assert links and all((README.parent / link).is_file() for link in links)
