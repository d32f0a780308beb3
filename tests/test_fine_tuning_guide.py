"""The examples in docs/fine_tuning.md are valid configs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from audio_dcls.runs.config import LossConfig, TrainConfig
from audio_dcls.settings import build, load_yaml

GUIDE = (Path(__file__).parents[1] / "docs" / "fine_tuning.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.partition("\n")[0].strip(":"))
def test_every_example_is_a_config(block: str, tmp_path: Path) -> None:
    (tmp_path / "example.yaml").write_text(block, encoding="utf-8")
    build(TrainConfig, load_yaml(tmp_path / "example.yaml"), "docs/fine_tuning.md")


def test_every_loss_and_key_of_losses_is_named() -> None:
    assert len(BLOCKS) == 5
    for name in ("bce", "focal", "asl", "cross_entropy", *(set(LossConfig.model_fields) - {"name"})):
        assert f"`{name}`" in GUIDE, name
