"""What the README shows works as shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from audio_dcls.dcls.parameters import dcls_layers

DCLS_GUIDE = Path(__file__).parent.parent / "docs" / "dcls.md"
README = Path(__file__).parent.parent / "README.md"


def test_the_python_example_runs() -> None:
    text = README.read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text[text.index("## DCLS in a model of yours") :], re.DOTALL)
    assert code is not None
    names: dict[str, object] = {}
    exec(code.group(1), names)
    assert names["kernel"].shape == (96, 1, 23, 23)  # type: ignore[attr-defined]
    assert names["y"].shape == (1, 96, 64, 62)  # type: ignore[attr-defined]


def test_the_ten_lines_of_the_dcls_guide_run(capsys: pytest.CaptureFixture[str]) -> None:
    code = re.search(r"```python\n(.*?)```", DCLS_GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, object] = {}
    exec(code.group(1), names)
    before, after = re.search(r"parameters\s+(\d+) -> (\d+)", capsys.readouterr().out).groups()  # type: ignore[union-attr]
    assert int(after) <= int(before)
    assert not list(dcls_layers(names["model"]))  # type: ignore[arg-type]


def test_every_file_of_the_tree_is_named() -> None:
    text = README.read_text(encoding="utf-8")
    tree = text[text.index("## The tree") :]
    root = README.parent
    for folder in (
        "training",
        "evaluation",
        "inference",
        "models",
        "frontend",
        "dcls",
        "data",
        "data/packed",
        "inspection",
        "service",
        "service/routes",
        "service/runs",
    ):
        for path in (root / "audio_dcls" / folder).glob("*.py"):
            if path.name != "__init__.py" and not path.name.startswith("depthwise"):
                assert path.name in tree, path
