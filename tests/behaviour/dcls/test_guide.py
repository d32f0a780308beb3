"""The examples of docs/dcls.md run as shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[3] / "docs" / "dcls.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("code", [code for code in EXAMPLES if "transfer=" not in code])
def test_an_example_runs(code: str) -> None:
    exec(code, {})


def test_the_example_with_a_trained_model_says_how_far_off_each_layer_is(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [code for code in EXAMPLES if "transfer=" in code]
    exec(code, {})
    errors = re.findall(r"kernel fitted, error ([0-9.]+), bias copied", capsys.readouterr().out)
    assert len(errors) == 12 and max(map(float, errors)) < 0.5  # kernels of an untrained model are noise
