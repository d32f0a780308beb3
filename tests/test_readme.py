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


def tree_folders() -> set[str]:
    """The folders that README's tree names, as paths from the root."""
    text = README.read_text(encoding="utf-8")
    tree = text[text.index("## The tree") :]
    block = re.search(r"```\n(.*?)```", tree, re.DOTALL)
    assert block is not None
    folders: list[str] = []
    names: set[str] = set()
    for line in block.group(1).splitlines():
        found = re.match(r"( *)([\w]+)/", line)
        assert found is not None, line
        folders = [*folders[: len(found[1]) // 2], found[2]]
        names.add("/".join(folders))
    return names


def test_the_tree_names_every_folder_of_code() -> None:
    root = README.parent
    found = {
        str(path.parent.relative_to(root))
        for top in ("audio_dcls", "cli", "configs", "data_manifests", "benchmarks", "tests")
        for path in root.glob(f"{top}/**/*.py")
    }
    not_listed = {name for name in found if name.startswith("tests/")} | {"configs/paper", "data_manifests/labels"}
    assert found - not_listed <= tree_folders()


def test_every_folder_of_the_tree_exists() -> None:
    assert [name for name in tree_folders() if not (README.parent / name).is_dir()] == []
