"""What docs/dcls.md says of trained models runs as shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "dcls.md"


def test_the_example_with_a_trained_model_runs(capsys: pytest.CaptureFixture[str]) -> None:
    section = GUIDE.read_text(encoding="utf-8").partition("## From a trained model")[2]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code is not None
    names: dict[str, object] = {}
    exec(code.group(1), names)
    errors = re.findall(r"kernel fitted, error ([0-9.]+), bias copied", capsys.readouterr().out)
    assert len(errors) == 12 and max(map(float, errors)) < 0.5  # kernels of an untrained model are noise
